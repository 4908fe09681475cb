package mailbox

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What was parsed is kept: with the file of the message out of the way it is told still, until
// what is kept is damaged or of another folder.
func TestParsedOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, vfs.Default, dir)
	m := s.sel(t, Inbox)
	uid := put(t, m, "Subject: one\r\nFrom: a@b.test\r\n\r\nbody\r\n", Flags{})
	other := put(t, m, "Subject: two\r\n\r\nbody\r\n", Flags{})
	subject := func(m *Mailbox, uid UID) string {
		t.Helper()
		st, err := m.Structure(t.Context(), uid)
		check(t, err)
		return st.Envelope.Subject.Value
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, "cur"))
	check(t, err)
	file := filepath.Join(s.dir, "cur", entries[0].Name())
	write := func(text string) {
		t.Helper()
		check(t, os.WriteFile(file, []byte(text), 0o600))
	}
	for range 2 {
		if subject(m, uid) != "one" || subject(m, other) != "two" {
			t.Fatal("another message")
		}
		s.root.Close()
		write("Subject: changed\n\nbody\n") // nobody does that; it shows where the answer comes from
		s = open(t, vfs.Default, dir)
		m = s.sel(t, Inbox)
	}
	s.root.Close()
	kept := filepath.Join(s.dir, indexFolder, cacheFile)
	b, err := os.ReadFile(kept)
	check(t, err)
	check(t, os.WriteFile(kept, b[:len(b)-3], 0o600))
	s = open(t, vfs.Default, dir)
	m = s.sel(t, Inbox)
	if subject(m, uid) != "changed" || subject(m, other) != "two" {
		t.Error("a torn cache is believed")
	}
	if _, err := m.Structure(t.Context(), 99); !errors.Is(err, ErrGone) {
		t.Errorf("%v", err)
	}
}
