package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/test/load/rig"
)

// Server is `sallyport quickstart` as a user starts it, and nothing else.
type Server struct {
	rig.Info
	Binary string
	t      testing.TB
	dir    string
	args   []string
	cmd    *exec.Cmd
	done   chan struct{}
	err    error
	log    *tail
}

// Start starts a quickstart server with further arguments and stops it when the
// test ends.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	binary, err := rig.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Binary: binary, t: t, dir: filepath.Join(t.TempDir(), "server"), args: args}
	s.launch()
	t.Cleanup(s.Stop)
	return s
}

func (s *Server) launch() {
	s.t.Helper()
	args := append([]string{"quickstart", "--json", "--hijack", "off", "--dir", s.dir, "--listen-base", "0"}, s.args...)
	s.cmd = exec.Command(s.Binary, args...)
	s.log = &tail{max: 64 << 10}
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	line := make(chan []byte, 1)
	go func() {
		r := bufio.NewReader(out)
		first, _ := r.ReadBytes('\n')
		line <- first
		_, _ = io.Copy(io.Discard, r)
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	select {
	case b := <-line:
		if err := json.Unmarshal(b, &s.Info); err != nil {
			s.Stop()
			s.t.Fatalf("quickstart printed %q: %v\n%s", b, err, s.log)
		}
	case <-time.After(60 * time.Second):
		s.Kill()
		s.t.Fatalf("quickstart printed nothing in a minute\n%s", s.log)
	}
}

// Kill ends the server with SIGKILL, as a crash would.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Stop ends the server as Ctrl-C does and checks that it ended cleanly.
func (s *Server) Stop() {
	select {
	case <-s.done:
		return
	default:
	}
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-s.done:
		if s.err != nil {
			s.t.Errorf("the server ended with %v\n%s", s.err, s.log)
		}
	case <-time.After(30 * time.Second):
		s.t.Errorf("the server did not stop in 30 s\n%s", s.log)
		s.Kill()
	}
}

// MX, Submission and Submissions are the first address of each door.
func (s *Server) MX() string          { return s.Listen.MX[0] }
func (s *Server) Submission() string  { return s.Listen.Submission[0] }
func (s *Server) Submissions() string { return s.Listen.Submissions[0] }

// Account returns the quickstart account of that local-part.
func (s *Server) Account(local string) rig.Account {
	s.t.Helper()
	for _, a := range s.Accounts {
		if strings.HasPrefix(a.Address, local+"@") {
			return a
		}
	}
	s.t.Fatalf("the quickstart has no account %s", local)
	return rig.Account{}
}

// Run runs a program with standard input and fails the test when it fails.
func Run(t testing.TB, stdin []byte, name string, args ...string) string {
	t.Helper()
	out, err := Try(t, stdin, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// Try runs a program with standard input, for at most a minute, and returns what
// it printed on both outputs.
func Try(t testing.TB, stdin []byte, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, Tool(t, name), args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Tool finds a program, also where only root looks, and fails with the remedy.
func Tool(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: run ./scripts/install-test-tools", name)
	return ""
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	max int
	b   []byte
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = append(w.b, p...)
	if len(w.b) > w.max {
		w.b = append([]byte(nil), w.b[len(w.b)-w.max:]...)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.b)
}
