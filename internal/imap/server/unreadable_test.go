package server_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A message that the disk does not give is one message: whoever asks for many hears of all others, and that
// some cannot be read; a search finds among the others; and the log names the file, once.
func TestAMessageThatCannotBeRead(t *testing.T) {
	var failing atomic.Bool
	mem := vfs.NewMem()
	w := newWorldOn(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing.Load() && op.Kind == errorfs.OpFileReadAt && strings.Contains(op.Path, "1700000002.") {
			return syscall.EIO
		}
		return nil
	})))
	c := w.login()
	for _, name := range []string{"1700000001", "1700000002", "1700000003"} {
		f, err := mem.Create(w.dir+"/new/"+name+".host", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("Subject: " + name + "\n\nneedle\n")); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	failing.Store(true)
	c.ok("SELECT INBOX")
	for _, ask := range []struct {
		command string
		want    []string
		answer  string
	}{
		{"FETCH 1:* (UID FLAGS)", []string{"* 1 FETCH", "* 2 FETCH", "* 3 FETCH"}, "t OK"},
		{"FETCH 1:* BODY.PEEK[]", []string{"* 1 FETCH", "* 3 FETCH"}, "t NO [CORRUPTION]"},
		{"FETCH 1:* (ENVELOPE RFC822.SIZE)", []string{"* 1 FETCH", "* 3 FETCH"}, "t NO [CORRUPTION]"},
		{"FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])", []string{"* 1 FETCH", "* 3 FETCH"}, "t NO [CORRUPTION]"},
		{"SEARCH BODY needle", []string{"* SEARCH 1 3"}, "t OK"},
		{"SEARCH LARGER 1", []string{"* SEARCH 1 3"}, "t OK"},
		{"SORT (REVERSE SUBJECT) UTF-8 ALL", []string{"* SORT 3 1 2"}, "t OK"},
		{"THREAD REFERENCES UTF-8 ALL", []string{"* THREAD"}, "t OK"},
		{"STATUS INBOX (MESSAGES SIZE)", []string{"* STATUS INBOX (MESSAGES 3 SIZE 62)"}, "t OK"},
		{"COPY 1:3 Archive", nil, "t OK [COPYUID"},
	} {
		lines := c.do(ask.command)
		if len(lines) != len(ask.want)+1 || !strings.HasPrefix(lines[len(lines)-1], ask.answer) {
			t.Errorf("%s:\n%s", ask.command, strings.Join(lines, "\n"))
			continue
		}
		for i, want := range ask.want {
			if !strings.HasPrefix(lines[i], want) {
				t.Errorf("%s:\n%s", ask.command, strings.Join(lines, "\n"))
			}
		}
	}
	if n := strings.Count(w.log.String(), "a message cannot be read"); n != 1 {
		t.Errorf("the log names it %d times", n)
	}
	failing.Store(false)
	if lines := c.ok("FETCH 1:* BODY.PEEK[]"); len(lines) != 4 {
		t.Errorf("afterwards:\n%s", strings.Join(lines, "\n"))
	}
}
