package server

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const fewDescriptors = "SALLYPORT_TEST_FEW_DESCRIPTORS"

// serveWithFew is the process that has no more descriptors than a few.
func serveWithFew(t *testing.T) {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 40, Max: 40}); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(KindMX)
	cfg.Limits.Connections = 1000
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	fmt.Println("at", ln.Addr())
	t.Fatal(Serve(t.Context(), ln, cfg, &memory{}))
}

// Without descriptors nobody new gets in, those who are in go on, one line says so, and
// with the first that are free again everything is as before.
func TestOutOfDescriptors(t *testing.T) {
	if os.Getenv(fewDescriptors) != "" {
		serveWithFew(t)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestOutOfDescriptors$")
	child.Env = append(os.Environ(), fewDescriptors+"=1")
	var log bytes.Buffer
	child.Stderr = &syncWriter{w: &log}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end := func() {
		if !ended {
			ended = true
			_ = child.Process.Kill()
			_ = child.Wait()
		}
	}
	defer end()
	line, err := bufio.NewReader(out).ReadString('\n')
	at, ok := strings.CutPrefix(strings.TrimSpace(line), "at ")
	if !ok {
		t.Fatal(line, err)
	}
	first := dial(t, at)
	first.steps("S: 220\nC: EHLO x\nS: 250")
	var all []net.Conn
	for range 100 {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if last := all[len(all)-1]; greetedWithin(last, 300*time.Millisecond) {
		t.Fatal("a hundred connections were served with forty descriptors")
	}
	first.steps("C: NOOP\nS: 250")
	for _, c := range all {
		_ = c.Close()
	}
	waitFor(t, func() bool {
		c, err := net.Dial("tcp", at)
		if err != nil {
			return false
		}
		defer c.Close()
		return greetedWithin(c, time.Second)
	})
	first.steps("C: NOOP\nS: 250\nC: QUIT\nS: 221")
	end()
	if text := log.String(); strings.Count(text, "accept failed") != 1 || !strings.Contains(text, "too many open files") {
		t.Errorf("the log says\n%s", text)
	}
}

func greetedWithin(c net.Conn, d time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(d))
	var b [3]byte
	n, err := c.Read(b[:])
	return err == nil && string(b[:n]) == "220"
}
