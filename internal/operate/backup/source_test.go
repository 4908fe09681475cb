package backup

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/operate/format"
	"sallyport/internal/store"
)

// copied is a store that can be copied, and is a file.
type copied struct {
	store.Store
	before func() // the copy
	err    error
}

// Checkpoint implements store.Checkpointer.
func (c copied) Checkpoint(_ context.Context, dir string) error {
	if c.before != nil {
		c.before()
	}
	return errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "copied"), nil, 0o600), c.err)
}

// data is a data folder with a little of everything.
func data(t *testing.T) (Places, *Source) {
	t.Helper()
	dir := t.TempDir()
	p := Places{Data: dir, Store: filepath.Join(dir, "store"), Checkpoints: filepath.Join(dir, "trace"), Mailboxes: filepath.Join(dir, "mail")}
	for name, text := range map[string]string{
		"keys/grant": "secret", "store/live": "in use", "trace/1": "one", "trace/.2": "being written",
		"mail/local.test/alice/new/1.a": "new", "mail/local.test/alice/cur/2.b:2,S": "seen", "mail/local.test/alice/tmp/3.c": "no message yet",
		"mail/local.test/alice/.Sent/cur/4.d:2,": "sent", "mail/local.test/notes": "a file among boxes",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "link")))
	return p, source(p, copied{})
}

func source(p Places, st store.Store) *Source {
	return NewSource(SourceOptions{Places: p, Store: st, Hostname: "mx.local.test", Program: "test", Logger: slog.New(slog.DiscardHandler)})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

// send returns the names of the files that a copy sends, with their content.
func send(t *testing.T, c *Copy, each func(name string)) (order []string, files map[string]string) {
	t.Helper()
	files = map[string]string{}
	must(t, c.Send(t.Context(), func(h *tar.Header, content io.Reader) error {
		if each != nil {
			each(h.Name)
		}
		if h.Typeflag != tar.TypeReg {
			return nil
		}
		b, err := io.ReadAll(content)
		order = append(order, h.Name)
		files[h.Name] = string(b)
		return err
	}))
	return order, files
}

func begin(t *testing.T, s *Source, mailboxes bool) *Copy {
	t.Helper()
	c, err := s.Begin(t.Context(), time.Unix(1e9, 0), mailboxes)
	must(t, err)
	t.Cleanup(func() { must(t, c.End()) })
	return c
}

func TestEverythingIsCopiedOnce(t *testing.T) {
	_, s := data(t)
	c := begin(t, s, true)
	if i := c.Info(); i.Hostname != "mx.local.test" || i.Program != "test" || !i.Began.Equal(time.Unix(1e9, 0)) || i.DataFormat != 0 || i.Format != Format {
		t.Errorf("%+v", i)
	}
	order, files := send(t, c, nil)
	slices.Sort(order)
	want := []string{
		"data/keys/grant", "data/mail/local.test/alice/.Sent/cur/4.d:2,", "data/mail/local.test/alice/cur/2.b:2,S", "data/mail/local.test/alice/new/1.a",
		"data/mail/local.test/notes", "data/store/copied", "data/trace/1",
	}
	if !slices.Equal(order, want) || files["data/keys/grant"] != "secret" {
		t.Errorf("%q\nwant %q\n%q", order, want, files)
	}
	// The estimate counts what lies in tmp.
	if sum := len("secret" + "new" + "seen" + "no message yet" + "sent" + "a file among boxes" + "one"); c.Octets() != int64(sum) {
		t.Errorf("%d octets, want %d", c.Octets(), sum)
	}
}

func TestMailboxesMayBeLeftOut(t *testing.T) {
	p, s := data(t)
	_, files := send(t, begin(t, s, false), nil)
	if len(files) != 3 || files["data/trace/1"] != "one" {
		t.Errorf("%q", files)
	}
	p.Mailboxes = t.TempDir() // outside the data folder
	write(t, filepath.Join(p.Mailboxes, "local.test/bob/new/1"), "hello")
	if _, files := send(t, begin(t, source(p, copied{}), true), nil); files["mail/local.test/bob/new/1"] != "hello" {
		t.Errorf("%q", files)
	}
}

// A checkpoint of the trace that is newer than the store must not be in a copy, and a
// message that leaves the queue after the store was copied must be in its mailbox.
func TestOrder(t *testing.T) {
	p, _ := data(t)
	s := source(p, copied{before: func() {
		write(t, filepath.Join(p.Checkpoints, "9"), "newer than the store")
	}})
	c := begin(t, s, true)
	write(t, filepath.Join(p.Mailboxes, "local.test/alice/new/5.e"), "delivered meanwhile")
	order, files := send(t, c, nil)
	if _, ok := files["data/trace/9"]; ok || files["data/mail/local.test/alice/new/5.e"] == "" {
		t.Errorf("%q", files)
	}
	first := slices.IndexFunc(order, func(name string) bool { return strings.HasPrefix(name, "data/mail/") })
	if first < 0 || slices.ContainsFunc(order[first:], func(name string) bool { return !strings.HasPrefix(name, "data/mail/") }) {
		t.Errorf("mailboxes are not last: %q", order)
	}
}

// A reader who marks a message and moves it from new to cur while the mailbox is read
// neither hides nor doubles it.
func TestReadersMoveMessagesMeanwhile(t *testing.T) {
	p, s := data(t)
	box := filepath.Join(p.Mailboxes, "local.test/alice")
	moved := false
	order, _ := send(t, begin(t, s, true), func(name string) {
		if moved || name != "data/mail/local.test/alice/cur/" {
			return
		}
		moved = true
		must(t, os.Rename(filepath.Join(box, "new/1.a"), filepath.Join(box, "cur/1.a:2,S")))
		must(t, os.Rename(filepath.Join(box, "cur/2.b:2,S"), filepath.Join(box, "cur/2.b:2,RS")))
	})
	for _, message := range []string{"/1.a", "/2.b"} {
		n := 0
		for _, name := range order {
			if strings.Contains(name, message) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is there %d times: %q", message, n, order)
		}
	}
}

// One copy at a time, and nothing of it is left.
func TestOneAtATime(t *testing.T) {
	p, s := data(t)
	c, err := s.Begin(t.Context(), time.Now(), true)
	must(t, err)
	if other, err := s.Begin(t.Context(), time.Now(), true); !errors.Is(err, ErrUnderWay) || other != nil {
		t.Errorf("a second one: %v, %v", other, err)
	}
	must(t, c.End())
	if _, err := os.Stat(filepath.Join(p.Data, copyDir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	begin(t, s, true) // another one may follow
}

// What fails leaves nothing behind, and the next one may try.
func TestFailuresLeaveNothing(t *testing.T) {
	p, _ := data(t)
	full := errors.New("the disk is full")
	for _, c := range []struct {
		st   store.Store
		want error
	}{{copied{err: full}, full}, {nil, errStore}} {
		s := source(p, c.st)
		for range 2 {
			if got, err := s.Begin(t.Context(), time.Now(), true); !errors.Is(err, c.want) || got != nil {
				t.Errorf("%v, %v", got, err)
			}
		}
		if _, err := os.Stat(filepath.Join(p.Data, copyDir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("left behind: %v", err)
		}
	}
	c := begin(t, source(p, copied{}), true)
	if err := c.Send(t.Context(), func(*tar.Header, io.Reader) error { return full }); !errors.Is(err, full) {
		t.Errorf("Send: %v", err)
	}
	write(t, filepath.Join(p.Data, format.File), "nonsense")
	if _, err := source(p, copied{}).Begin(t.Context(), time.Now(), true); err == nil {
		t.Error("a damaged record of the format is copied")
	}
}

// What cannot be read of the mailboxes keeps nothing else out of a backup, and is named in it; anything else that
// cannot be read ends it.
func TestWhatCannotBeReadIsLeftOut(t *testing.T) {
	p, s := data(t)
	refused := func(names ...string) func(string) (*os.File, error) {
		return func(path string) (*os.File, error) {
			switch {
			case slices.Contains(names, filepath.Base(path)):
				return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrPermission}
			case filepath.Base(path) == "4.d:2,":
				return os.OpenFile(path, os.O_WRONLY, 0) // it can be opened, and gives nothing
			}
			return os.Open(path)
		}
	}
	c := begin(t, s, true)
	c.plan.left.read = refused("1.a", "notes")
	order, files := send(t, c, nil)
	must(t, c.End())
	for name, is := range map[string]bool{
		"data/mail/local.test/alice/new/1.a": false, "data/mail/local.test/alice/.Sent/cur/4.d:2,": false, "data/mail/local.test/notes": false,
		"data/mail/local.test/alice/cur/2.b:2,S": true, "data/keys/grant": true,
	} {
		if _, ok := files[name]; ok != is {
			t.Errorf("%s is in it: %v", name, ok)
		}
	}
	told := files[LeftOutName]
	if strings.Count(told, "\n") != 3 || order[len(order)-1] != LeftOutName {
		t.Errorf("left out: %q", told)
	}
	for _, want := range []string{p.Mailboxes + "/local.test/alice/new/1.a: permission denied\n", "/.Sent/cur/4.d:2,: ", "/local.test/notes: permission denied\n"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q does not tell %q", told, want)
		}
	}
	// Where files are short it is no fault of one.
	c = begin(t, s, true)
	c.plan.left.read = func(path string) (*os.File, error) {
		return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
	}
	if err := c.Send(t.Context(), func(*tar.Header, io.Reader) error { return nil }); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("without files: %v", err)
	}
	must(t, c.End())
	// What is written and read again counts them.
	file := filepath.Join(t.TempDir(), "backup")
	w, err := Create(file)
	must(t, err)
	must(t, w.AddInfo(Info{Format: Format}))
	must(t, w.AddBytes(LeftOutName, []byte(told), time.Now()))
	wrote, err := w.Commit()
	must(t, err)
	_, read, err := Verify(t.Context(), file, t.TempDir(), nil)
	must(t, err)
	for _, sum := range []Summary{wrote, read} {
		if sum.LeftOut != 3 || sum.Unread != told {
			t.Errorf("%+v", sum)
		}
	}
}
