package walk

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// rows are the tables of a guide: each line its cells, without the heads.
func rows(text string) (all [][]string) {
	head := true
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			head = true
		case strings.HasPrefix(line, "|---"):
			head = false
		case !head:
			cells := strings.Split(strings.Trim(line, "|"), " | ")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			all = append(all, cells)
		}
	}
	return all
}

// everyRow goes through the tables of the guide: each line is what one of the acts brings about,
// by its first cell, and each act stands in a table.
func (f *follower) everyRow(acts map[string]func(cells []string)) {
	f.t.Helper()
	there := map[string]bool{}
	for _, cells := range rows(f.doc.Text()) {
		act := acts[cells[0]]
		if act == nil {
			f.t.Errorf("nobody brings about the line %q of the guide's table", cells[0])
			continue
		}
		there[cells[0]] = true
		act(cells)
	}
	for first := range acts {
		if !there[first] {
			f.t.Errorf("the guide has no line %q in its tables", first)
		}
	}
}

// swap puts other lines in the place of some of the configuration, which must be there.
func (f *follower) swap(old, now string) {
	f.t.Helper()
	text := f.read("/etc/sallyport/sallyport.toml")
	if !strings.Contains(text, old) {
		f.t.Fatalf("the configuration has no %q:\n%s", old, text)
	}
	f.write("/etc/sallyport/sallyport.toml", strings.Replace(text, old, now, 1))
}

// daemon runs a program of the world, with whatever it starts, until the test ends or the returned
// function is called.
func (w *world) daemon(line string, up func() bool) (stop func()) {
	w.t.Helper()
	cmd := w.command("exec " + line)
	out, err := os.CreateTemp(w.path("/root/night"), "daemon") // no pipe: its children may hold it
	must(w.t, err)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr.Setpgid = true
	must(w.t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	said := func() string {
		text, _ := os.ReadFile(out.Name())
		return string(text)
	}
	stop = sync.OnceFunc(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		_ = out.Close()
	})
	w.t.Cleanup(func() {
		stop()
		if w.t.Failed() {
			w.t.Logf("%s\n%s", line, said())
		}
	})
	for until := time.Now().Add(4 * time.Minute); !up(); time.Sleep(50 * time.Millisecond) { // Rspamd loads for long
		select {
		case <-ended:
			w.t.Fatalf("%s ended:\n%s", line, said())
		default:
		}
		if time.Now().After(until) {
			w.t.Fatalf("%s does not answer:\n%s", line, said())
		}
	}
	return stop
}

// long skips what takes minutes, or needs more than scripts/install-test-tools brings.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("SALLYPORT_GUIDES") == "" {
		t.Skip("make guides follows this one, with SALLYPORT_GUIDES=1")
	}
}

// needs skips where one of Debian's programs is missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if exec.Command("sh", "-c", "PATH=$PATH:/usr/sbin; command -v "+p).Run() != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// signsIn returns what somebody is told who signs in at port 587.
func signsIn(t *testing.T, who, secret string) string {
	t.Helper()
	c := dial(t, "127.0.0.1:587")
	defer c.Close()
	if err := signInWith(c, who, secret); err != nil {
		return err.Error()
	}
	return "235"
}

// offered returns what a stranger is told about a recipient.
func offered(t *testing.T, who string) string {
	t.Helper()
	c := dial(t, "127.0.0.1:25")
	defer c.Close()
	must(t, c.Mail("stranger@remote.test"))
	if err := c.Rcpt(who); err != nil {
		return err.Error()
	}
	return "250"
}

// begins wants an answer.
func (f *follower) begins(what, got, want string) {
	f.t.Helper()
	if !strings.HasPrefix(got, want) {
		f.t.Errorf("%s: %q instead of %s", what, got, want)
	}
}
