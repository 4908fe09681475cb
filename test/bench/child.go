package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// child is a server that runs as a process below the benchmark.
type child struct {
	name   string
	log    string // file that takes what it prints
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended
	result error         // of the process; valid once ended is closed
}

// spawn starts a process with its output in a file. An interrupt from the terminal is for
// the benchmark, which ends its servers itself, so that the process has a group of its own.
func spawn(name, log string, cmd *exec.Cmd) (*child, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	c := &child{name: name, log: log, cmd: cmd, ended: make(chan struct{})}
	go func() {
		c.result = cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// serves waits until all the addresses accept connections, or the process has ended.
func (c *child) serves(ctx context.Context, addrs ...string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-c.ended:
			cancel(fmt.Errorf("%s ended at once: %w", c.name, c.result))
		case <-ctx.Done():
		}
	}()
	err := answers(ctx, addrs...)
	if err == nil {
		return nil
	}
	return errors.Join(context.Cause(ctx), err, errors.New(c.tail()), c.stop())
}

// stop ends the process, with SIGKILL if SIGTERM does not help. It does not take a context:
// an interrupted run stops its servers too.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.ended:
		return nil
	case <-time.After(stopTimeout):
		err := c.cmd.Process.Kill()
		<-c.ended
		return errors.Join(fmt.Errorf("%s did not stop in %s", c.name, stopTimeout), err)
	}
}

// maxTail bounds what is shown of a log.
const maxTail = 2000

// tail is the end of what the process printed.
func (c *child) tail() string {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-maxTail):])
}
