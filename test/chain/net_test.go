// Package chain runs the server between others, each in a network namespace of its
// own: a client, the server, a Dovecot and a Postfix behind it, a Postfix out in the
// world that only the DNS leads to, and that DNS. It needs root.
package chain

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The hosts and their addresses, which nobody outside sees.
var hosts = map[string]string{
	"mx": "10.77.0.2", "dovecot": "10.77.0.3", "inner": "10.77.0.4", "remote": "10.77.0.5", "dns": "10.77.0.6", "client": "10.77.0.10",
}

// wire is a network of namespaces, joined by a bridge in one more.
type wire struct {
	t      *testing.T
	prefix string
	dir    string
}

func newWire(t *testing.T) *wire {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root: run the tests as root to try the chain")
	}
	w := &wire{t: t, prefix: fmt.Sprintf("sp%d-", os.Getpid()), dir: t.TempDir()}
	for d := w.dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		must(t, os.Chmod(d, 0o755)) // the servers drop their rights
	}
	w.space("wire")
	w.in("wire", "ip", "link", "add", "br0", "type", "bridge")
	w.in("wire", "ip", "link", "set", "br0", "up")
	for name, ip := range hosts {
		w.space(name)
		w.run("ip", "link", "add", "eth0", "netns", w.prefix+name, "type", "veth", "peer", "name", "p-"+name, "netns", w.prefix+"wire")
		w.in("wire", "ip", "link", "set", "p-"+name, "master", "br0", "up")
		w.in(name, "ip", "addr", "add", ip+"/24", "dev", "eth0")
		w.in(name, "ip", "link", "set", "eth0", "up")
	}
	return w
}

func (w *wire) space(name string) {
	w.run("ip", "netns", "add", w.prefix+name)
	w.t.Cleanup(func() { w.run("ip", "netns", "del", w.prefix+name) })
	w.in(name, "ip", "link", "set", "lo", "up")
}

func (w *wire) run(name string, args ...string) string {
	w.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// in runs a command on a host and waits for it.
func (w *wire) in(host string, args ...string) string {
	w.t.Helper()
	return w.run("ip", append([]string{"netns", "exec", w.prefix + host}, args...)...)
}

// process is a program that runs on a host until it is stopped.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{}
}

func (w *wire) start(host string, args ...string) *process {
	w.t.Helper()
	p := &process{t: w.t, cmd: exec.Command("ip", append([]string{"netns", "exec", w.prefix + host}, args...)...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	must(w.t, p.cmd.Start())
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	w.t.Cleanup(p.stop)
	return p
}

// stop ends the process and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
		p.t.Errorf("%v had to be killed\n%s", p.cmd.Args, p.log.String())
	}
	if p.t.Failed() {
		p.t.Logf("%v:\n%s", p.cmd.Args, p.log.String())
	}
}

// dial connects from a host. A thread that changed its namespace is of no more use.
func (w *wire) dial(host, address string) (net.Conn, error) {
	type result struct {
		nc  net.Conn
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: it ends with the goroutine
		f, err := os.Open("/run/netns/" + w.prefix + host)
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			f.Close()
		}
		if err != nil {
			done <- result{nil, err}
			return
		}
		nc, err := net.DialTimeout("tcp", address, 10*time.Second)
		done <- result{nc, err}
	}()
	r := <-done
	return r.nc, r.err
}

// answers waits until a server greets.
func (w *wire) answers(address string) {
	w.t.Helper()
	eventually(w.t, address+" answers", func() bool {
		nc, err := w.dial("client", address)
		if err != nil {
			return false
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(5 * time.Second))
		n, _ := nc.Read(make([]byte, 1))
		return n == 1
	})
}

// family returns a process and all that descend from it.
func family(t *testing.T, root int) []int {
	t.Helper()
	parents := map[int]int{}
	entries, err := os.ReadDir("/proc")
	must(t, err)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // it has ended
		}
		// The name in brackets may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if parents[pid], err = strconv.Atoi(fields[1]); err != nil {
			t.Fatal(err)
		}
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		for pid, parent := range parents {
			if parent == all[i] {
				all = append(all, pid)
			}
		}
	}
	return all
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(40 * time.Second); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in a minute it never came to this: %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
