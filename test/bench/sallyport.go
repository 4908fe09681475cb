package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sallyport/test/load/rig"
	"sallyport/test/port"
)

// Time limits of what is waited for around a measurement.
const (
	startTimeout = time.Minute
	stopTimeout  = time.Minute
	pollInterval = 20 * time.Millisecond
)

// sallyport is a running server and what is needed to ask and to end it.
type sallyport struct {
	binary string
	variant
	info   rig.Info
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended
	result error         // of the process; valid once ended is closed
	log    string
}

// variant says what of a server is not as quickstart makes it.
type variant uint8

const (
	plain     variant = iota
	ungreeted         // nobody waits before the greeting
	ordinary          // who sends is not declared to send in bulk
)

// startSallyport starts a quickstart server, with its defaults.
func startSallyport(ctx context.Context, p place, v variant) (*instance, error) {
	s := &sallyport{binary: p.o.server, variant: v, log: filepath.Join(p.dir, "log"), ended: make(chan struct{})}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return nil, err
	}
	if err := s.launch(ctx, p.dir, p.sink, p.queueOnly); err != nil {
		return nil, fmt.Errorf("starting sallyport: %w", err)
	}
	i, err := s.instance(ctx)
	if err == nil && v == ungreeted {
		err = s.greetAtOnce(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return i, nil
}

// launch starts the process and reads the line that it prints when it serves.
func (s *sallyport) launch(ctx context.Context, dir, sink string, queueOnly bool) error {
	args := []string{
		"quickstart", "--json", "--listen-base", "0", "--dir", filepath.Join(dir, "server"), "--route",
		"remote.test=smtp://" + sink,
	}
	if queueOnly {
		args = append(args, "--paused")
	}
	log, err := os.Create(s.log)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(s.binary, args...)
	s.cmd.Stderr = log
	// An interrupt from the terminal is for the benchmark, which ends the server itself.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	line := make(chan []byte, 1)
	go s.watch(out, line)
	select {
	case b := <-line:
		if err := json.Unmarshal(b, &s.info); err != nil {
			return errors.Join(fmt.Errorf("it printed %q: %w", b, err), s.stop())
		}
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.stop())
	case <-time.After(startTimeout):
		return errors.Join(errors.New("it printed nothing"), s.stop())
	}
}

// watch passes on the first line of what the process prints and waits for its end.
func (s *sallyport) watch(out io.Reader, first chan<- []byte) {
	r := bufio.NewReader(out)
	line, _ := r.ReadBytes('\n') // an error: the line is too short to be parsed
	first <- line
	_, _ = io.Copy(io.Discard, r)
	s.result = s.cmd.Wait()
	close(s.ended)
}

// instance describes the server.
func (s *sallyport) instance(ctx context.Context) (*instance, error) {
	pem, err := os.ReadFile(s.info.CA)
	if err != nil {
		return nil, err
	}
	if len(s.info.Listen.MX) == 0 || len(s.info.Listen.Submissions) == 0 || len(s.info.Listen.Submission) == 0 {
		return nil, errors.New("sallyport listens nowhere")
	}
	submissions := s.info.Listen.Submissions[0]
	cfg, err := trust(pem, s.info.Hostname)
	if err != nil {
		return nil, err
	}
	inbox, err := s.inbox()
	if err != nil {
		return nil, err
	}
	i := &instance{
		name: ours, roots: []int{s.cmd.Process.Pid}, mx: s.info.Listen.MX[0], submissions: submissions,
		submission: s.info.Listen.Submission[0],
		relay:      signedIn, tls: cfg, enlist: s.enlist, inbox: inbox, queued: s.queued, stop: s.stop,
		spent: func() time.Duration { return s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime() },
	}
	return i, answers(ctx, i.mx, i.submissions)
}

// enlist makes an account that may send in bulk, or an ordinary one that has written to
// remoteRecipient for long.
func (s *sallyport) enlist(ctx context.Context) (sender, error) {
	from := sender{address: "bulk@local.test", password: "a-password-for-the-benchmark"}
	args := []string{"account", "add", from.address, "--password-stdin", "--recipients-hour", "10000000", "--recipients-day", "10000000"} // the server is measured, not its caps
	if s.variant != ordinary {
		args = append(args, "--role", "bulk")
	}
	if _, err := s.command(ctx, from.password+"\n", args...); err != nil || s.variant != ordinary {
		return from, err
	}
	_, err := s.command(ctx, from.address+" "+remoteRecipient+" 2026-01-01\n", "learn", "list", "-")
	return from, err
}

// greetAtOnce has the running server take the key in.
func (s *sallyport) greetAtOnce(ctx context.Context) error {
	text, err := os.ReadFile(s.info.Config)
	if err != nil {
		return err
	}
	if strings.Contains(string(text), "\n[limits]") {
		return errors.New("quickstart writes limits of its own: greet_delay must stand among them")
	}
	if err := os.WriteFile(s.info.Config, append(text, "\n[limits]\ngreet_delay = \"0s\"\n"...), 0o600); err != nil {
		return err
	}
	_, err = s.command(ctx, "", "reload")
	return err
}

func (s *sallyport) inbox() (string, error) {
	for _, a := range s.info.Accounts {
		if a.Address == localRecipient {
			return filepath.Join(a.Maildir, "new"), nil
		}
	}
	return "", fmt.Errorf("quickstart has no account %s", localRecipient)
}

// queued counts the entries of the queue as its operator sees them.
func (s *sallyport) queued(ctx context.Context) (int, error) {
	out, err := s.command(ctx, "", "queue", "ls", "--json")
	if err != nil {
		return 0, err
	}
	entries, err := rig.Values(out)
	return len(entries), err
}

// command runs a command of the binary against the running server.
func (s *sallyport) command(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.binary, append(args, "-c", s.info.Config)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("sallyport %s: %w: %s", strings.Join(args, " "), err, complaint.String())
	}
	return out.String(), nil
}

// stop ends the server as Ctrl-C does, with SIGKILL if that does not help. It does
// not take a context: an interrupted run stops its servers too.
func (s *sallyport) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
	case <-time.After(stopTimeout):
		err := s.cmd.Process.Kill()
		<-s.ended
		return errors.Join(fmt.Errorf("sallyport did not stop in %s", stopTimeout), err)
	}
	if s.result == nil {
		return nil
	}
	log, err := os.ReadFile(s.log)
	return errors.Join(fmt.Errorf("sallyport ended with: %w: %s", s.result, log[max(0, len(log)-4000):]), err)
}

// answers waits until all the addresses accept connections.
func answers(ctx context.Context, addrs ...string) error {
	for _, addr := range addrs {
		for begun := time.Now(); ; {
			d := net.Dialer{Timeout: time.Second}
			c, err := d.DialContext(ctx, "tcp", addr)
			if err == nil {
				if err := c.Close(); err != nil {
					return err
				}
				break
			}
			if ctx.Err() != nil || time.Since(begun) > startTimeout {
				return fmt.Errorf("%s does not answer: %w", addr, err)
			}
			time.Sleep(pollInterval)
		}
	}
	return nil
}

// freePorts returns loopback addresses that are reserved until the process ends.
func freePorts(n int) ([]string, error) {
	var addrs []string
	for range n {
		r, err := port.Reserve("127.0.0.1")
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Number)))
	}
	return addrs, nil
}
