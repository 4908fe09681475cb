package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"

	"sallyport/internal/config"
	"sallyport/internal/kit/owner"
	"sallyport/internal/node"
	"sallyport/internal/node/identity"
	"sallyport/internal/operate"
)

// standInConns is how many requests a command may have under way with its stand-in.
const standInConns = 8

// standInFile is the first of the files that a stand-in is started with: the connection
// over which it says that it is ready, and then those for requests.
const standInFile = 3

// standInMark is in the environment of a stand-in, and of nothing else that has its files.
const standInMark = "SALLYPORT_STAND_IN"

// standInCommand acts for a command of root on a data folder that is somebody else's: the
// same program once more, which reads the configuration as root and then becomes the owner
// of the folder. What root alone may read and write, the command itself does.
type standInCommand struct{ configFlag }

// Run serves the command that started this process until it ends.
func (s standInCommand) Run(ctx context.Context, c console) error {
	if os.Getenv(standInMark) == "" {
		return usageError{"stand-in is for the program itself"}
	}
	ends := make([]*net.UnixConn, 0, standInConns+1)
	for i := range standInConns + 1 {
		end, err := unixConn(standInFile + i)
		if err != nil {
			return err
		}
		ends = append(ends, end)
	}
	ready := ends[0]
	n, cfg, err := s.open(ctx, c)
	if err != nil {
		_, tellErr := io.WriteString(ready, err.Error())
		return errors.Join(exitStatus(exitWrong), tellErr)
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	if err := ready.CloseWrite(); err != nil {
		return errors.Join(err, n.Close())
	}
	go func() {
		defer stop()
		_, _ = io.Copy(io.Discard, ready) // until the command ends
	}()
	err = operate.ServeConns(serving, ends[1:], n.Operator(), quiet(c))
	return errors.Join(err, openError(cfg, n.Close()))
}

// open becomes the owner of the data folder, and opens it.
func (s standInCommand) open(ctx context.Context, c console) (*node.Node, config.Config, error) {
	cfg, err := config.Load(s.Config)
	if err != nil {
		return nil, cfg, err
	}
	who, err := owner.Of(cfg.Data)
	if err != nil {
		return nil, cfg, err
	}
	o := node.Options{World: node.World{Logger: quiet(c)}, Version: version(), Certificate: identity.Read(cfg)}
	if err := errors.Join(who.Become(), who.Reach(cfg.Data)); err != nil {
		return nil, cfg, err
	}
	n, err := node.Open(ctx, cfg, o)
	return n, cfg, openError(cfg, err)
}

// standIn lets a process of the owner's act on a data folder, and this one, which is
// root's, ask it.
func (f configFlag) standIn(ctx context.Context, c console, act func(*operate.Client) error) (err error) {
	ours, theirs, err := connected(standInConns + 1)
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", "stand-in", "--config", f.Config)
	cmd.Args[0] = os.Args[0]
	cmd.ExtraFiles, cmd.Stderr, cmd.Env = theirs, c.err, append(os.Environ(), standInMark+"=yes")
	// It ends with this process, and not by a key that was pressed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	for _, end := range theirs {
		_ = end.Close()
	}
	if err != nil {
		return errors.Join(err, closeAll(ours))
	}
	why, err := io.ReadAll(ours[0])
	if err == nil && len(why) == 0 {
		client := operate.Over(ours[1:])
		err = act(client)
		client.Close()
	}
	_ = closeAll(ours) // now it ends; those in use are closed already
	ended := cmd.Wait()
	switch {
	case len(why) > 0:
		return errors.New(string(why))
	case err == nil && ended != nil:
		return fmt.Errorf("what acted as the owner of the data folder ended with %w", ended)
	}
	return err
}

// connected makes pairs of connected ends: ours, and files for another process.
func connected(n int) (ours []*net.UnixConn, theirs []*os.File, err error) {
	defer func() {
		if err == nil {
			return
		}
		_ = closeAll(ours)
		for _, f := range theirs {
			_ = f.Close()
		}
	}()
	for range n {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return ours, theirs, err
		}
		theirs = append(theirs, os.NewFile(uintptr(fds[1]), "stand-in"))
		end, err := unixConn(fds[0])
		if err != nil {
			return ours, theirs, err
		}
		ours = append(ours, end)
	}
	return ours, theirs, nil
}

func closeAll(ends []*net.UnixConn) error {
	var errs []error
	for _, end := range ends {
		errs = append(errs, end.Close())
	}
	return errors.Join(errs...)
}

// unixConn takes over a file of this process as a connection.
func unixConn(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "stand-in")
	c, err := net.FileConn(f) // which has its own
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	end, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("this is no local connection"), c.Close())
	}
	return end, nil
}
