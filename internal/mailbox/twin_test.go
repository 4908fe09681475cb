package mailbox

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A folder that somebody copies on the disk, with its index, is another mailbox, whichever of the two is opened first and
// whatever was renamed before; the one that was there stays what clients know. RFC 8474 §4 and §5.1
func TestACopiedFolderIsAnotherMailbox(t *testing.T) {
	dir := t.TempDir()
	s := open(t, vfs.Default, dir)
	check(t, s.user.Create(t.Context(), "Work", UseNone))
	put(t, s.sel(t, "Work"), letter, NewFlags(Seen, "project"))
	put(t, s.sel(t, Inbox), letter, Flags{})
	check(t, s.user.Rename(t.Context(), "Work", "Job"))
	was := map[string]uint32{"Job": validityOf(t, s, "Job"), Inbox: validityOf(t, s, Inbox)}
	s.root.Close()
	copies := map[string]string{"Copy": ".Job", "Again": ".Copy", "Old": "", "Z": ".Job"}
	for _, name := range []string{"Copy", "Again", "Old", "Z"} {
		from := filepath.Join(s.dir, copies[name])
		for _, sub := range []string{"cur", "new", "tmp", indexFolder} {
			check(t, os.CopyFS(filepath.Join(s.dir, "."+name, sub), os.DirFS(filepath.Join(from, sub))))
		}
	}
	s = open(t, vfs.Default, dir)
	have := map[uint32]string{}
	for _, name := range []string{"Z", "Again", "Job", "Copy", Inbox, "Old"} {
		m := s.sel(t, name)
		v := m.UIDValidity()
		if have[v] != "" || was[name] != 0 && v != was[name] {
			t.Errorf("%s has %d, as %q; it had %d", name, v, have[v], was[name])
		}
		have[v], was[name] = name, v
		state := m.State().Messages
		if len(state) != 1 || name != Inbox && name != "Old" && state[0].Flags != NewFlags(Seen, "project") {
			t.Errorf("%s: %v", name, state)
		}
		if id := emailID(t, m, put(t, m, letter, Flags{})); id.Validity != v {
			t.Errorf("%s: a message of its own is called %v", name, id)
		}
	}
	for run := range 2 {
		s.root.Close()
		if run == 1 { // an index of before says nothing of where it lies
			check(t, os.Remove(filepath.Join(s.dir, ".Copy", indexFolder, placeFile)))
			check(t, os.Rename(filepath.Join(s.dir, ".Z"), filepath.Join(s.dir, ".Moved"))) // by another program
			was["Moved"], was["Z"] = was["Z"], 0
		}
		s = open(t, vfs.Default, dir)
		for name, v := range was {
			if v != 0 && validityOf(t, s, name) != v {
				t.Errorf("%s has another UIDValidity now", name)
			}
		}
	}
}
