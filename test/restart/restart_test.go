// Package restart restarts the real server under clients that never stop sending,
// with sockets that outlive it, as systemd holds them.
package restart

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sallyport/test/load/rig"
)

const (
	clients  = 6
	restarts = 3
)

func TestNothingIsLostByARestart(t *testing.T) {
	dir := t.TempDir()
	bin, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	at := ln.Addr().String()
	conf := filepath.Join(dir, "sallyport.toml")
	write(t, conf,
		"hostname = \"mx.local.test\"\ndata = \"data\"\nlisten.mx = [\""+at+"\"]\n[domain.\"local.test\"]\ndeliver = \"maildir\"\n[limits]\ngreet_delay = \"0s\"\nmin_free = \"1MiB\"\n")
	run(t, "correct horse battery\n", bin, "account", "add", "bob@local.test", "--password-stdin", "-c", conf)

	server := start(t, bin, conf, file)
	var stop atomic.Bool
	var acked sync.Map // ids that were answered with 250
	var sent atomic.Int64
	var sending sync.WaitGroup
	for c := range clients {
		sending.Go(func() {
			for i := 0; !stop.Load(); i++ {
				id := fmt.Sprintf("m%d-%d", c, i)
				if err := deliver(at, id); err == nil {
					acked.Store(id, true)
					sent.Add(1)
				} else if !strings.HasPrefix(err.Error(), "421") && !strings.HasPrefix(err.Error(), "ended") {
					t.Errorf("%s: %v", id, err)
					return
				}
			}
		})
	}
	for range restarts {
		until(t, &sent, sent.Load()+100)
		server.stop(t)
		server = start(t, bin, conf, file)
	}
	until(t, &sent, sent.Load()+100)
	stop.Store(true)
	sending.Wait()
	deadline := time.Now().Add(time.Minute)
	for !bytes.Contains(run(t, "", bin, "status", "-c", conf), []byte("0 messages")) && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond)
	}
	server.stop(t)

	copies := map[string]int{}
	boxes, err := filepath.Glob(filepath.Join(dir, "data", "mail", "local.test", "bob", "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range boxes {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := bytes.Cut(text, []byte("\nX-Id: "))
		id, _, _ := bytes.Cut(rest, []byte("\n"))
		copies[string(id)]++
	}
	n := 0
	acked.Range(func(id, _ any) bool {
		n++
		if copies[id.(string)] != 1 {
			t.Errorf("%s was acknowledged, and %d copies arrived", id, copies[id.(string)])
		}
		return true
	})
	if n < (restarts+1)*100 {
		t.Errorf("only %d messages were acknowledged", n)
	}
	t.Logf("%d messages acknowledged through %d restarts", n, restarts)
}

// deliver sends one message on a connection of its own. A refused connection is an
// error of another kind than a session that ended with 421 or without a word.
func deliver(at, id string) error {
	c, err := net.DialTimeout("tcp", at, 30*time.Second)
	if err != nil {
		return fmt.Errorf("not connected: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	for _, step := range []struct{ say, want string }{
		{"", "220"}, {"HELO client.test", "250"}, {"MAIL FROM:<eve@elsewhere.test>", "250"}, {"RCPT TO:<bob@local.test>", "250"}, {"DATA", "354"},
		{"From: eve@elsewhere.test\r\nX-Id: " + id + "\r\n\r\nHello.\r\n.", "250"},
	} {
		if step.say != "" {
			if _, err := fmt.Fprintf(c, "%s\r\n", step.say); err != nil {
				return fmt.Errorf("ended: %w", err)
			}
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("ended: %w", err)
		}
		if !strings.HasPrefix(line, step.want) {
			return fmt.Errorf("%s", strings.TrimSpace(line))
		}
	}
	return nil
}

type process struct {
	cmd *exec.Cmd
	log *bytes.Buffer
}

// start runs the server with the socket as systemd hands one over, and waits until it
// is ready.
func start(t *testing.T, bin, conf string, socket *os.File) process {
	t.Helper()
	notify := filepath.Join(t.TempDir(), "n")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	p := process{exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve -c "$1"`, bin, conf), &bytes.Buffer{}}
	p.cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=mx", "NOTIFY_SOCKET="+notify)
	p.cmd.ExtraFiles = []*os.File{socket}
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	if err := told.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := told.Read(buf)
	if err != nil || string(buf[:n]) != "READY=1" {
		t.Fatalf("the server told %q, %v", buf[:n], err)
	}
	return p
}

func (p process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the server ended with %v\n%s", err, p.log)
	}
}

func until(t *testing.T, n *atomic.Int64, want int64) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); n.Load() < want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d messages of %d", n.Load(), want)
		}
	}
}

func run(t *testing.T, input string, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return out
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Sockets that do not agree with the configuration are told with a way out.
func TestSocketsMustAgree(t *testing.T) {
	dir := t.TempDir()
	bin, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	conf := filepath.Join(dir, "sallyport.toml")
	write(t, conf, "hostname = \"mx.local.test\"\ndata = \"data\"\nlisten.mx = [\"127.0.0.1:2525\"]\n[domain.\"local.test\"]\ndeliver = \"maildir\"\n")
	for name, want := range map[string][]string{
		"mx":   {"sallyport.toml:3:14: listen.mx[0]: no socket was handed over for 127.0.0.1:2525; systemd opens the listeners", "a socket was handed over for " + ln.Addr().String()},
		"http": {`a socket named "http": FileDescriptorName=`},
	} {
		cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve -c "$1"`, bin, conf)
		cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES="+name)
		cmd.ExtraFiles = []*os.File{file}
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s: the server ran", name)
		}
		for _, w := range want {
			if !strings.Contains(string(out), w) {
				t.Errorf("%s: %s\nwant %q", name, out, w)
			}
		}
	}
}

// The units are ones that systemd takes, and leave the server little to be abused for.
func TestUnits(t *testing.T) {
	units := filepath.Join("..", "..", "packaging", "systemd")
	dir := t.TempDir()
	for _, name := range []string{"sallyport.service", "sallyport-mx.socket", "sallyport-submission.socket", "sallyport-submissions.socket", "sallyport-acme.socket", "sallyport-https.socket"} {
		text, err := os.ReadFile(filepath.Join(units, name))
		if err != nil {
			t.Fatal(err)
		}
		// The program is not installed here.
		write(t, filepath.Join(dir, name), strings.ReplaceAll(string(text), "/usr/bin/sallyport", "/bin/true"))
	}
	verify := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(dir, "sallyport.service"))
	verify.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	if out, err := verify.CombinedOutput(); err != nil || strings.Contains(string(out), dir) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// Its threshold is a tenth of a point.
	out := run(t, "", "systemd-analyze", "security", "--offline=true", "--threshold=16", filepath.Join(units, "sallyport.service"))
	if !strings.Contains(string(out), "Overall exposure level") {
		t.Errorf("no score:\n%s", out)
	}
}
