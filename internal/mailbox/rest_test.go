package mailbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// known returns the folder that stands for the INBOX in memory, if there is one.
func (s *site) known() *folder {
	s.user.mu.Lock()
	defer s.user.mu.Unlock()
	return s.user.open[""]
}

// What is known of a folder stays when its last reader leaves it, and is what the next one gets;
// what others did meanwhile is seen.
func TestRestingFolder(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m := s.sel(t, Inbox)
	uid := put(t, m, letter, Flags{})
	if _, err := m.Structure(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	before, f := m.State(), s.known()
	m.Close()
	if s.known() != f || f.refs != 0 {
		t.Fatal("nothing is kept")
	}
	if v, err := s.user.Verify(t.Context(), Inbox); err != nil || len(v.Damage) > 0 {
		t.Errorf("the index is not closed in order: %+v, %v", v, err)
	}
	s.drop(t, "new/1700000000.new.host", unixLetter)
	m = s.sel(t, Inbox)
	after := m.State()
	if s.known() != f || len(after.Messages) != 2 || after.Messages[0] != before.Messages[0] || after.UIDValidity != before.UIDValidity {
		t.Errorf("%+v after %+v", after, before)
	}
	if _, kept, err := m.Parsed(uid); !kept || err != nil {
		t.Errorf("what was parsed is forgotten: %v", err)
	}
	if m.Close(); s.known() != f {
		t.Error("it does not rest a second time")
	}
}

// An index that others put in the place of one that rests is read, and one that they removed is
// made anew.
func TestRestingFolderOfAnotherIndex(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m := s.sel(t, Inbox)
	put(t, m, letter, Flags{})
	f := s.known()
	m.Close()
	check(t, os.RemoveAll(filepath.Join(s.dir, indexFolder)))
	m = s.sel(t, Inbox)
	if s.known() == f || len(m.State().Messages) != 1 {
		t.Error("what is gone from the disk is believed")
	}
	put(t, m, letter, Flags{})
	if m.Close(); len(s.sel(t, Inbox).State().Messages) != 2 {
		t.Error("messages are lost")
	}
}

// What a folder that rests is opened again with at once is let go soon, and made again when it is
// wanted.
func TestRestingFolderGetsThin(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m := s.sel(t, Inbox)
	put(t, m, letter, Flags{})
	before, f := m.State(), s.known()
	s.user.thin(f)
	if f.messages == nil {
		t.Error("what somebody has open gets thin")
	}
	if m.Close(); f.messages == nil {
		t.Error("it is thin at once")
	}
	if s.user.thin(f); f.messages != nil {
		t.Error("it stays as it is")
	}
	m = s.sel(t, Inbox)
	if after := m.State(); !slices.Equal(after.Messages, before.Messages) {
		t.Errorf("%+v after %+v", after, before)
	}
}

// There is room for so many messages; the folder that was left first goes. When nothing rests and
// nobody is there, nothing is kept of the account.
func TestRoomToRest(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	l := DefaultLimits()
	l.Resting = 3
	check(t, s.root.Adjust(l))
	for _, name := range []string{Inbox, "Sent", "Drafts"} {
		m := s.sel(t, name)
		put(t, m, letter, Flags{})
		put(t, m, letter, Flags{})
		m.Close()
	}
	names := func() (out []string) {
		s.user.mu.Lock()
		defer s.user.mu.Unlock()
		for name := range s.user.open {
			out = append(out, name)
		}
		return out
	}
	if got := names(); !slices.Equal(got, []string{".Drafts"}) || s.root.resting.messages != 2 {
		t.Errorf("%q rest, %d messages", got, s.root.resting.messages)
	}
	m := s.sel(t, "Drafts")
	if s.root.resting.messages != 0 || len(s.root.resting.folders) != 0 {
		t.Error("what is open rests")
	}
	put(t, m, letter, Flags{})
	put(t, m, letter, Flags{})
	if m.Close(); len(names()) != 0 {
		t.Error("more rests than there is room for")
	}
	s.sel(t, "Sent").Close()
	s.user.Close()
	if len(s.root.users) != 1 {
		t.Error("the account of a folder that rests is forgotten")
	}
	for _, f := range s.root.resting.before(time.Now().Add(time.Hour)) {
		f.user.forget(f)
	}
	if len(s.root.users) != 0 || len(s.root.resting.folders) != 0 || s.root.resting.messages != 0 {
		t.Error("something is kept")
	}
}

// A folder that is removed while it rests is gone for who comes back.
func TestRestingFolderRemoved(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m := s.sel(t, "Sent")
	put(t, m, letter, Flags{})
	m.Close()
	check(t, os.RemoveAll(filepath.Join(s.dir, ".Sent")))
	if _, err := s.user.Select(t.Context(), "Sent", false); !errors.Is(err, ErrNoSuchMailbox) {
		t.Errorf("%v", err)
	}
	s.sel(t, "Drafts").Close()
	rested := len(s.root.resting.folders)
	check(t, s.user.Delete(t.Context(), "Drafts"))
	if len(s.root.resting.folders) != rested-1 {
		t.Error("it rests all the same")
	}
}
