package mailbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The folder for junk is found on the disk, whatever it is called by now, and whether anybody has the mailbox open or
// not. Where nothing is said of it, or it is not there, none is.
func TestTheFolderForJunk(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	want := func(dir string) {
		t.Helper()
		if have := s.root.Junk(s.dir); have != dir {
			t.Errorf("have %q, want %q", have, dir)
		}
	}
	want("") // by its name alone
	check(t, s.user.Rename(t.Context(), "Junk", "Übel/Spam"))
	want(".&ANw-bel.Spam")
	account := s.user.account
	s.user.Close()
	want(".&ANw-bel.Spam")
	var err error
	s.user, err = s.root.User(t.Context(), account)
	check(t, err)
	check(t, s.user.Delete(t.Context(), "Übel/Spam"))
	want("")
	check(t, s.user.Create(t.Context(), "Rest", UseJunk))
	want(".Rest")
	check(t, os.RemoveAll(filepath.Join(s.dir, ".Rest")))
	want("")
	check(t, os.WriteFile(filepath.Join(s.dir, indexFolder, settingsFile), []byte("{"), 0o600))
	s.user.Close()
	want("")
	if have := s.root.Junk(t.TempDir()); have != "" {
		t.Error(have)
	}
}

// The bound of different keywords in a folder holds for messages that come with some, too; those that no message has
// any more make room; and to take one away needs none.
func TestKeywordsOfAFolder(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	l := DefaultLimits()
	l.Words = 3
	check(t, s.root.Adjust(l))
	m := s.sel(t, Inbox)
	add := func(words ...string) error {
		_, err := m.Append(t.Context(), strings.NewReader(letter), int64(len(letter)), NewFlags(0, words...), time.Now())
		return err
	}
	store := func(op Op, words ...string) error {
		_, err := m.Store(t.Context(), []UID{1}, op, NewFlags(0, words...), nil)
		return err
	}
	check(t, add("a", "b"))
	if err := add("c", "d"); !errors.Is(err, ErrTooMany) {
		t.Errorf("four keywords: %v", err)
	}
	check(t, add("C"))
	check(t, add("c"))
	if all := m.State().Messages; all[1].Flags != all[2].Flags {
		t.Errorf("a keyword is spelt in two ways: %v, %v", all[1].Flags.Keywords(), all[2].Flags.Keywords())
	}
	if err := store(Add, "d"); !errors.Is(err, ErrTooMany) {
		t.Errorf("a fourth one: %v", err)
	}
	check(t, store(Remove, "never"))
	check(t, store(Remove, "a"))
	check(t, store(Add, "d"))
	if err := store(Add, "e"); !errors.Is(err, ErrTooMany) {
		t.Errorf("a fourth one again: %v", err)
	}
}
