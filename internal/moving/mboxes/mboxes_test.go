package mboxes

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mailbox"
	"sallyport/internal/moving"
	"sallyport/internal/moving/mbox"
)

// taken is what was read.
type taken struct{ messages []string }

func (t *taken) Listed([]mailbox.Origin)        {}
func (t *taken) Wanted(mailbox.Origin) bool     { return true }
func (t *taken) Remark(string, string)          {}
func (t *taken) Unreadable(string, error) error { return nil }

func (t *taken) Message(m moving.Message) error {
	t.messages = append(t.messages, string(m.Octets))
	return nil
}

func write(t *testing.T, path, subject string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("From x Sun Nov 29 15:04:05 2026\nSubject: "+subject+"\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// read returns what comes of each folder; a fault is its text.
func read(t *testing.T, path string) map[string]string {
	t.Helper()
	p, err := Open(path, mbox.Any, time.UTC, "joe")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	folders, err := p.Folders(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range folders {
		got := &taken{}
		if err := p.Read(context.Background(), f.Name, got); err != nil {
			got.messages = append(got.messages, "fault: "+err.Error())
		}
		out[f.Name] = strings.Join(got.messages, "")
	}
	return out
}

// Every file comes, whatever others are called.
func TestNoFileIsLost(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"Foo", "Foo.mbox", "Foo.mbx", "INBOX", "Inbox", "Sub.sbd/Foo", "Sub/Foo", "Apple.mbox/mbox"} {
		write(t, filepath.Join(dir, name), name)
	}
	got := read(t, dir)
	if len(got) != 8 || got["Apple"] != "Subject: Apple.mbox/mbox\n" {
		t.Errorf("of eight files came: %q", slices.Sorted(maps.Keys(got)))
	}
	if got := read(t, filepath.Join(dir, "Apple.mbox")); got["Apple"] == "" {
		t.Errorf("a folder of Apple Mail by itself: %q", got)
	}
}

// What may be an mbox and cannot be read is told, and no link is followed.
func TestWhatCannotBeReadIsTold(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "mail", "a"), "a")
	write(t, filepath.Join(dir, "other", "b"), "secret")
	for name, to := range map[string]string{"link": "../other/b", "links": "../other"} {
		if err := os.Symlink(to, filepath.Join(dir, "mail", name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, filepath.Join(dir, "mail")); len(got) != 1 {
		t.Errorf("by links: %q", got)
	}
	if os.Geteuid() == 0 {
		t.Skip("root reads every file")
	}
	if err := os.Chmod(filepath.Join(dir, "mail", "a"), 0); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(dir, "mail")); !strings.HasPrefix(got["a"], "fault: ") {
		t.Errorf("a file that cannot be read: %q", got)
	}
}
