package mailbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// mbsync works on the same Maildir: its first run renames every file, and later ones follow what is
// moved, flagged and removed here. UIDs stay, and nothing stops it.
func TestMbsyncOnTheSameMaildir(t *testing.T) {
	program, err := exec.LookPath("mbsync")
	if err != nil {
		t.Skip("mbsync is not installed")
	}
	s := open(t, vfs.Default, t.TempDir())
	m, sent := s.sel(t, Inbox), s.sel(t, "Sent")
	for range 5 {
		put(t, m, letter, NewFlags(Seen, Forwarded, "word"))
	}
	before := m.State()
	far, conf := t.TempDir(), filepath.Join(t.TempDir(), "rc")
	check(t, os.WriteFile(conf, []byte(strings.Join([]string{
		"MaildirStore near", "Inbox " + s.dir, "SubFolders Maildir++", "",
		"MaildirStore far", "Path " + far + "/", "Inbox " + far + "/INBOX", "SubFolders Verbatim", "",
		"Channel all", "Far :far:", "Near :near:", "Patterns INBOX Sent", "Create Both", "Expunge Both", "SyncState " + far + "/state-", "",
	}, "\n")), 0o600))
	sync := func() {
		t.Helper()
		out, err := exec.Command(program, "-c", conf, "all").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		refresh(t, m)
		refresh(t, sent)
	}
	files := func(folder string) (names []string) {
		for _, sub := range []string{"new", "cur"} {
			entries, err := os.ReadDir(filepath.Join(far, folder, sub))
			check(t, err)
			for _, e := range entries {
				names = append(names, e.Name())
			}
		}
		return names
	}
	sync()
	entries, err := os.ReadDir(filepath.Join(s.dir, "cur"))
	check(t, err)
	if !strings.Contains(entries[0].Name(), ",U=") {
		t.Errorf("it renamed nothing: %q", entries[0].Name())
	}
	if after := m.State(); !slices.Equal(after.Messages, before.Messages) {
		t.Errorf("%+v became %+v", before.Messages, after.Messages)
	}
	_, err = m.Move(t.Context(), []UID{1, 2}, sent)
	check(t, err)
	_, err = m.Store(t.Context(), []UID{3}, Replace, NewFlags(Deleted), nil)
	check(t, err)
	_, err = m.Expunge(t.Context(), nil)
	check(t, err)
	for range 2 {
		sync()
		if len(files("INBOX")) != 2 || len(files("Sent")) != 2 || !slices.Equal(uidsOf(m), []UID{4, 5}) || !slices.Equal(uidsOf(sent), []UID{1, 2}) {
			t.Fatalf("there %q, %q; here %v, %v", files("INBOX"), files("Sent"), uidsOf(m), uidsOf(sent))
		}
	}
	name := files("INBOX")[0]
	base, _ := split(name)
	check(t, os.Rename(filepath.Join(far, "INBOX/cur", name), filepath.Join(far, "INBOX/cur", base+":2,FS")))
	sync()
	flagged := 0
	for _, msg := range m.State().Messages {
		if msg.Flags == NewFlags(Seen|Flagged, "word") {
			flagged++
		}
	}
	if flagged != 1 {
		t.Errorf("%+v", m.State().Messages)
	}
}
