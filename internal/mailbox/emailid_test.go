package mailbox

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func emailID(t *testing.T, m *Mailbox, uid UID) EmailID {
	t.Helper()
	id, err := m.EmailID(uid)
	check(t, err)
	return id
}

// A message keeps what names it through copies of copies and moves, over a restart, and where one of the two copies of the
// index is lost; no other message has it. RFC 8474 §5.1
func TestEmailIDs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, vfs.Default, dir)
	inbox, archive := s.sel(t, Inbox), s.sel(t, "Archive")
	first, second := put(t, inbox, letter, Flags{}), put(t, inbox, letter, Flags{})
	id, other := emailID(t, inbox, first), emailID(t, inbox, second)
	if id == other || id != (EmailID{inbox.UIDValidity(), first}) { // what it was before copies had it
		t.Fatalf("%v and %v", id, other)
	}
	copied, err := inbox.Copy(t.Context(), []UID{first}, archive)
	check(t, err)
	again, err := archive.Copy(t.Context(), []UID{copied[0].To}, archive)
	check(t, err)
	moved, err := inbox.Move(t.Context(), []UID{first}, archive)
	check(t, err)
	back, err := archive.Move(t.Context(), []UID{moved[0].To}, inbox)
	check(t, err)
	_, err = archive.Store(t.Context(), []UID{again[0].To}, Add, NewFlags(Seen), nil)
	check(t, err)
	own := put(t, archive, letter, Flags{})
	for i, lose := range []string{"", "", indexFile, listFile} {
		if i > 0 {
			s.root.Close()
			if lose != "" {
				check(t, os.Remove(filepath.Join(s.dir, ".Archive", indexFolder, lose)))
			}
			s = open(t, vfs.Default, dir)
			inbox, archive = s.sel(t, Inbox), s.sel(t, "Archive")
		}
		if lose == "" { // both copies of the index hold all
			_, err := s.user.Rebuild(t.Context(), "Archive")
			check(t, err)
		}
		for _, got := range []EmailID{emailID(t, archive, copied[0].To), emailID(t, archive, again[0].To), emailID(t, inbox, back[0].To)} {
			if got != id {
				t.Errorf("without %q: %v was %v", lose, got, id)
			}
		}
		if emailID(t, inbox, second) != other || emailID(t, archive, own) != (EmailID{archive.UIDValidity(), own}) {
			t.Errorf("without %q: another message changed its name", lose)
		}
	}
	if _, err := inbox.EmailID(first); err == nil {
		t.Error("a message that is gone has a name")
	}
}

// Who looks while a message is copied is told its name as it stays.
func TestEmailIDsOfCopiesThatAreSeenEarly(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	inbox, archive := s.sel(t, Inbox), s.sel(t, "Archive")
	id := emailID(t, inbox, put(t, inbox, letter, Flags{}))
	_, _, places, err := inbox.linkInto(t.Context(), uidsOf(inbox), archive)
	check(t, err)
	archive.folder.mu.Lock()
	_, err = archive.folder.look(true)
	archive.folder.mu.Unlock()
	check(t, err)
	if len(places) != 1 || emailID(t, archive, uidsOf(archive)[0]) != id {
		t.Errorf("%v was %v", emailID(t, archive, uidsOf(archive)[0]), id)
	}
}

func TestParseEmailID(t *testing.T) {
	for text, want := range map[string]bool{"M1-2": true, "M4294967295-4294967295": true, "M01-2": false, "M1-2x": false, "1-2": false, "M1": false, "M-": false, "": false, "M4294967296-1": false} {
		if id, ok := ParseEmailID(text); ok != want || ok && id.String() != text {
			t.Errorf("%q: %v %v", text, id, ok)
		}
	}
}
