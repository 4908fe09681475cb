package clients

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// SmtpSink is Postfix's smtp-sink, which keeps each message in a file of Dir.
type SmtpSink struct {
	Addr string
	Dir  string
}

// StartSmtpSink starts smtp-sink on a free loopback port until the test ends.
func StartSmtpSink(t testing.TB) *SmtpSink {
	t.Helper()
	s := &SmtpSink{Addr: FreeAddr(t), Dir: filepath.Join(t.TempDir(), "sink")}
	if err := os.MkdirAll(s.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	args := []string{"-d", "%M.", s.Addr, "100"}
	if os.Getuid() == 0 {
		// smtp-sink refuses to serve as root.
		if err := makeReachable(s.Dir); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"-u", "nobody"}, args...)
	}
	cmd := exec.Command(Tool(t, "smtp-sink"), args...)
	cmd.Dir = s.Dir
	log := &tail{max: 4 << 10}
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 200 {
		c, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err == nil {
			_ = c.Close()
			return s
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("smtp-sink does not answer on %s: %s", s.Addr, log)
	return nil
}

// makeReachable lets another user write into dir below a private test folder.
func makeReachable(dir string) error {
	if err := os.Chmod(dir, 0o777); err != nil {
		return err
	}
	for d := filepath.Dir(dir); d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// FreeAddr returns a loopback address whose port was free a moment ago.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
