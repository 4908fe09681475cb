package walk

import (
	"os/exec"
	"strings"
	"testing"
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

// daemon runs a program of the world until the test ends or the returned function is called.
func (w *world) daemon(line string, up func() bool) (stop func()) {
	w.t.Helper()
	cmd := w.command("exec " + line)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	must(w.t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	stop = func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	w.t.Cleanup(func() {
		stop()
		if w.t.Failed() {
			w.t.Logf("%s\n%s", line, out.String())
		}
	})
	eventually(w.t, line, func() bool {
		select {
		case <-ended:
			w.t.Fatalf("%s ended:\n%s", line, out.String())
		default:
		}
		return up()
	})
	return stop
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

// asked returns what a stranger is told about a recipient.
func asked(t *testing.T, who string) string {
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
