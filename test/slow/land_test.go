package slow

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sallyport/test/load/rig"
)

// land is two namespaces of the kernel: the host of the server, and the Internet, which has every
// address of 10.0.0.0/8.
//
//	the Internet   10.0.0.0/8, 192.0.2.2 -- 192.0.2.1   the server
type land struct {
	t    *testing.T
	name string
	*rig.Server
}

const (
	serverAt  = "192.0.2.1"
	metricsAt = "127.0.0.9:9025"
)

// newLand has a server run with more of its configuration, and with so many descriptors.
func newLand(t *testing.T, limits string) *land {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("it needs root, for namespaces")
	}
	l := &land{t: t, name: "slow" + strconv.Itoa(os.Getpid()) + "-"}
	for _, ns := range []string{"net", "srv"} {
		l.run("ip", "netns", "add", l.name+ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", l.name+ns).Run() })
		l.in(ns, "ip", "link", "set", "lo", "up")
	}
	l.run("ip", "link", "add", "a0", "netns", l.name+"net", "type", "veth", "peer", "name", "a0", "netns", l.name+"srv")
	for ns, own := range map[string]string{"net": "192.0.2.2/24", "srv": serverAt + "/24"} {
		l.in(ns, "ip", "address", "add", own, "dev", "a0")
		l.in(ns, "ip", "link", "set", "a0", "up")
	}
	l.in("net", "ip", "route", "add", "local", "10.0.0.0/8", "dev", "lo")
	l.in("srv", "ip", "route", "add", "10.0.0.0/8", "via", "192.0.2.2")
	l.start(limits)
	return l
}

func (l *land) start(limits string) {
	t := l.t
	t.Helper()
	dir := t.TempDir()
	binary, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	l.Server, err = rig.Prepare(t.Context(), rig.Options{
		Binary: binary, Dir: filepath.Join(dir, "server"), Remote: "127.0.0.1:9",
		Extra: fmt.Sprintf("[mx]\ndelivery = \"off\"\n[metrics]\nlisten = [%q]\n%s", metricsAt, limits),
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(l.Config)
	if err == nil {
		err = os.WriteFile(l.Config, []byte(strings.ReplaceAll(string(text), "127.0.0.1:", serverAt+":")), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []*[]string{&l.Listen.MX, &l.Listen.Submissions} {
		(*at)[0] = strings.Replace((*at)[0], "127.0.0.1", serverAt, 1)
	}
	if err := l.Start(t.Context(), "ip", "netns", "exec", l.name+"srv", "prlimit", "--nofile=20000:20000", "--"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(l.LogTail())
		}
		_ = l.Kill()
	})
}

func (l *land) run(args ...string) string {
	l.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (l *land) in(ns string, args ...string) string {
	l.t.Helper()
	return l.run(append([]string{"ip", "netns", "exec", l.name + ns}, args...)...)
}

// goroutines is how many the server has.
func (l *land) goroutines() int {
	l.t.Helper()
	for line := range strings.Lines(l.in("srv", "curl", "-s", "http://"+metricsAt+"/metrics")) {
		if rest, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(rest))
			if err != nil {
				l.t.Fatal(err)
			}
			return n
		}
	}
	l.t.Fatal("the server does not say how many goroutines it has")
	return 0
}

// child is a process of this test in the Internet, which does what order says until it is told to stop,
// and then reports.
type child struct {
	t     *testing.T
	what  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   chan childReport
}

type childReport struct {
	line []byte
	err  error
}

const childVar = "SALLYPORT_SLOW_ORDER"

// send begins a child; what is the test in which it does its work.
func (l *land) send(what string, order any) *child {
	l.t.Helper()
	given, err := json.Marshal(order)
	if err != nil {
		l.t.Fatal(err)
	}
	c := &child{t: l.t, what: what, out: make(chan childReport, 1)}
	c.cmd = exec.CommandContext(context.WithoutCancel(l.t.Context()), "ip", "netns", "exec", l.name+"net", os.Args[0], "-test.run", "^"+what+"$", "-test.timeout", "30m")
	c.cmd.Env = append(os.Environ(), childVar+"="+string(given))
	c.cmd.Stderr = os.Stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		l.t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		line, err := bufio.NewReaderSize(out, 1<<20).ReadBytes('\n')
		_, _ = io.Copy(io.Discard, out)
		_ = c.cmd.Wait()
		c.out <- childReport{line, err}
	}()
	l.t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	return c
}

// stop tells the child to stop.
func (c *child) stop() { _ = c.stdin.Close() }

// report waits for what the child reports.
func (c *child) report(into any) {
	c.t.Helper()
	r := <-c.out
	if r.err != nil {
		c.t.Fatalf("%s: %v: %s", c.what, r.err, r.line)
	}
	if err := json.Unmarshal(r.line, into); err != nil {
		c.t.Fatalf("%s: %v: %s", c.what, err, r.line)
	}
}

// ordered reads what a child is to do, and returns a context that ends when it is told to stop; it skips
// what is no child.
func ordered(t *testing.T, order any) context.Context {
	t.Helper()
	given := os.Getenv(childVar)
	if given == "" {
		t.Skip("it is a part of the other tests")
	}
	if err := json.Unmarshal([]byte(given), order); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}

// reports prints what a child has to say.
func reports(t *testing.T, what any) {
	t.Helper()
	if err := json.NewEncoder(os.Stdout).Encode(what); err != nil {
		t.Fatal(err)
	}
}
