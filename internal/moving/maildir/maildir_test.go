package maildir

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/mailbox"
	"sallyport/internal/moving"
)

// taken is what was read of a folder, and what was said of it.
type taken struct{ messages, said []string }

func (t *taken) Listed([]mailbox.Origin)    {}
func (t *taken) Wanted(mailbox.Origin) bool { return true }
func (t *taken) Remark(name, what string)   { t.said = append(t.said, name+": "+what) }

func (t *taken) Message(m moving.Message) error {
	t.messages = append(t.messages, string(m.Octets))
	return nil
}

func (t *taken) Unreadable(name string, err error) error {
	t.Remark(name, err.Error())
	return nil
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *Maildir {
	t.Helper()
	m, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func read(t *testing.T, m *Maildir, folder string) *taken {
	t.Helper()
	got := &taken{}
	if err := m.Read(context.Background(), folder, got); err != nil {
		t.Fatal(folder, err)
	}
	return got
}

// A Maildir is its owner's, and root reads it: a link in it, of whatever it takes the place, leads
// nowhere.
func TestNoLinkIsFollowed(t *testing.T) {
	dir := t.TempDir()
	mine, other := filepath.Join(dir, "mine"), filepath.Join(dir, "other")
	write(t, filepath.Join(other, "cur", "1.secret"), "Subject: of another\n\nsecret\n")
	write(t, filepath.Join(mine, "cur", "1.a"), "Subject: a\n\n")
	links := map[string]string{
		"new": filepath.Join(other, "cur"), "cur/2.b": filepath.Join(other, "cur", "1.secret"), ".Linked": other,
		"linked": other, "dovecot-keywords": filepath.Join(other, "cur", "1.secret"), "subscriptions": filepath.Join(other, "cur", "1.secret"),
		"cur/3.c": "1.a",
	}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(mine, name)); err != nil {
			t.Fatal(err)
		}
	}
	m := open(t, mine)
	folders, err := m.Folders(context.Background())
	if err != nil || len(folders) != 1 {
		t.Errorf("%v %v", folders, err)
	}
	got := read(t, m, mailbox.Inbox)
	if len(got.messages) != 1 || !strings.Contains(got.messages[0], "Subject: a") {
		t.Errorf("read: %q", got.messages)
	}
	if len(got.said) < 4 || !strings.Contains(strings.Join(got.said, "\n"), "new: it is no folder") {
		t.Errorf("said: %q", got.said)
	}
	// A folder that becomes a link while it is read.
	late := filepath.Join(mine, ".Late")
	write(t, filepath.Join(late, "cur", "1.d"), "Subject: d\n\n")
	m = open(t, mine)
	if err := os.RemoveAll(late); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, late); err != nil {
		t.Fatal(err)
	}
	after := &taken{}
	if err := m.Read(context.Background(), "Late", after); err == nil && len(after.messages) > 0 {
		t.Errorf("read by a link: %q", after.messages)
	}
}

// Two folders that would be called alike both come.
func TestNoFolderIsLost(t *testing.T) {
	dir := t.TempDir()
	for _, at := range []string{".", ".Lists", "Lists", "INBOX", ".Lists.Go", "Lists/Go"} {
		write(t, filepath.Join(dir, at, "cur", "1.a"), "Subject: "+at+"\n\n")
	}
	m := open(t, dir)
	var all []string
	for name := range m.dirs {
		all = append(all, read(t, m, name).messages...)
	}
	if len(all) != 6 {
		t.Errorf("of six folders %v came: %q", slices.Sorted(maps.Keys(m.dirs)), all)
	}
}
