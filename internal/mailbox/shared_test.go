package mailbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// drop leaves a file as another program does.
func (s *site) drop(t testing.TB, name, text string) string {
	t.Helper()
	name = filepath.Join(s.dir, name)
	check(t, os.MkdirAll(filepath.Dir(name), 0o700))
	check(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

// only returns the one file in a folder of the mailbox.
func (s *site) only(t testing.TB, sub string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.dir, sub))
	check(t, err)
	if len(entries) != 1 {
		t.Fatalf("%s holds %v", sub, entries)
	}
	return entries[0].Name()
}

// others renames a file within cur as another program does.
func (s *site) others(t testing.TB, from, to string) {
	t.Helper()
	check(t, os.Rename(filepath.Join(s.dir, "cur", from), filepath.Join(s.dir, "cur", to)))
}

func refresh(t testing.TB, m *Mailbox) bool {
	t.Helper()
	changed, err := m.Refresh(t.Context())
	check(t, err)
	return changed
}

func uidsOf(m *Mailbox) (uids []UID) {
	for _, msg := range m.State().Messages {
		uids = append(uids, msg.UID)
	}
	return uids
}

const unixLetter = "Subject: hello\n\nbody\n"

// 1. Programs put fields into names and take them away: it is the same message, with its UID,
// also when that happened while nobody had the folder open.
func TestFieldsInNamesAreNoIdentity(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m := s.sel(t, Inbox)
	uid := put(t, m, letter, NewFlags(Seen, "work"))
	base := strings.TrimSuffix(s.only(t, "cur"), ":2,S")
	last := base + ":2,S"
	for i, field := range []string{",U=17", ",U=18", ",u=3,S=20,W=22", ",FMD5=0123", ""} {
		s.others(t, last, base+field+":2,S")
		last = base + field + ":2,S"
		if i == 2 {
			s.root.Close()
			s = open(t, vfs.Default, filepath.Dir(s.dir))
			m = s.sel(t, Inbox)
		}
		changed := refresh(t, m)
		got := m.State().Messages
		if changed || len(got) != 1 || got[0].UID != uid || got[0].Flags != NewFlags(Seen, "work") {
			t.Fatalf("%q: changed %v, %+v", field, changed, got)
		}
		stored, err := m.Store(t.Context(), []UID{uid}, Add, NewFlags(Flagged), nil)
		check(t, err)
		_, err = m.Store(t.Context(), []UID{uid}, Remove, NewFlags(Flagged), nil)
		check(t, err)
		if len(stored.Messages) != 1 || s.only(t, "cur") != last {
			t.Errorf("%q became %q", last, s.only(t, "cur"))
		}
	}
	if got := identity("1.a.host,x=1,U=2"); got != "1.a.host,x=1" {
		t.Errorf("a field that nobody knows was dropped: %q", got)
	}
}

// 2. What is moved or copied gets a name that no file has had, without fields that say which UID
// it had elsewhere.
func TestMovesMakeNewNames(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	s.drop(t, "cur/1700000000.x.host,U=4:2,Sa,more", unixLetter)
	m, sent := s.sel(t, Inbox), s.sel(t, "Sent")
	uid := uidsOf(m)[0]
	_, err := m.Copy(t.Context(), []UID{uid}, sent)
	check(t, err)
	_, err = m.Move(t.Context(), []UID{uid}, sent)
	check(t, err)
	names := map[string]bool{}
	entries, err := os.ReadDir(filepath.Join(s.dir, ".Sent/cur"))
	check(t, err)
	for _, e := range entries {
		base, info := split(e.Name())
		if strings.Contains(base, ",") || strings.Contains(base, ".x.") || info != ":2,Sa,more" {
			t.Errorf("%q", e.Name())
		}
		names[base] = true
	}
	if len(names) != 2 || len(uidsOf(m)) != 0 {
		t.Errorf("%v", names)
	}
}

// 3. Letters that nobody here understands stay. P is $Forwarded, and the small ones are what
// dovecot-keywords says, both ways, and nothing without it.
func TestLettersOfOthersStay(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	s.drop(t, "cur/1700000000.x.host:2,PSaqX,z=1", unixLetter)
	m := s.sel(t, Inbox)
	got := m.State().Messages[0]
	if got.Flags != NewFlags(Seen, Forwarded) {
		t.Errorf("%+v", got.Flags)
	}
	set := func(op Op, f Flags, want string) {
		t.Helper()
		_, err := m.Store(t.Context(), []UID{got.UID}, op, f, nil)
		check(t, err)
		if name := s.only(t, "cur"); name != "1700000000.x.host:2,"+want+",z=1" {
			t.Errorf("%q, not %q", name, want)
		}
	}
	set(Replace, NewFlags(Flagged|Draft), "DFXaq")
	set(Add, NewFlags(0, "$forwarded", "project"), "DFPXaq")
	s.drop(t, "dovecot-keywords", "0 $Label1\n16 project\n17 bad\"word\n")
	if !refresh(t, m) {
		t.Error("the meaning of letters was not seen")
	}
	if f := m.State().Messages[0].Flags; f != NewFlags(Flagged|Draft, Forwarded, "project", "$Label1") {
		t.Errorf("%v %v", f.System, f.Keywords())
	}
	set(Remove, NewFlags(0, "$label1"), "DFPXq")
	s.others(t, s.only(t, "cur"), "1700000000.x.host:2,DFPXa,z=1")
	refresh(t, m)
	if f := m.State().Messages[0].Flags; f != NewFlags(Flagged|Draft, Forwarded, "$Label1") {
		t.Errorf("%v %v", f.System, f.Keywords())
	}
	check(t, os.Remove(filepath.Join(s.dir, "dovecot-keywords")))
	refresh(t, m)
	set(Remove, NewFlags(0, "$Label1"), "DFPXa")
	var many []string
	for i := range 60 {
		many = append(many, fmt.Sprintf("keyword%d", i))
	}
	set(Add, NewFlags(0, many...), "DFPXa")
	s.root.Close()
	m = open(t, vfs.Default, filepath.Dir(s.dir)).sel(t, Inbox)
	if n := len(m.State().Messages[0].Flags.Keywords()); n != 61 {
		t.Errorf("%d keywords", n)
	}
}

// 4. Names are read before anything is done: a message from which another program has just
// taken the flag is not removed, and flags are merged.
func TestWhatOthersDidCountsFirst(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m, sent := s.sel(t, Inbox), s.sel(t, "Sent")
	uid := put(t, m, letter, NewFlags(Deleted))
	name := s.only(t, "cur")
	base, _ := split(name)
	s.others(t, name, base+":2,F")
	if gone, err := m.Expunge(t.Context(), nil); err != nil || len(gone) != 0 {
		t.Fatalf("%v, %v", gone, err)
	}
	s.others(t, base+":2,F", base+":2,FR")
	stored, err := m.Store(t.Context(), []UID{uid}, Add, NewFlags(Seen), nil)
	check(t, err)
	if stored.Messages[0].Flags != NewFlags(Seen|Flagged|Answered) {
		t.Errorf("%+v", stored)
	}
	s.others(t, base+":2,FRS", base+":2,FS")
	pairs, err := m.Copy(t.Context(), []UID{uid}, sent)
	check(t, err)
	if len(pairs) != 1 || sent.State().Messages[0].Flags != NewFlags(Seen|Flagged) {
		t.Errorf("%+v", sent.State())
	}
	if read(t, m, uid) != letter {
		t.Error("another message")
	}
}

// The same when the change is so quick that the times of the folder do not tell: the very name
// that was seen is what is removed or renamed.
func TestNamesThatChangedUnseen(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m := s.sel(t, Inbox)
	uid := put(t, m, letter, NewFlags(Deleted))
	name := s.only(t, "cur")
	base, _ := split(name)
	info, err := os.Stat(filepath.Join(s.dir, "cur"))
	check(t, err)
	quietly := func(to string) {
		t.Helper()
		s.others(t, s.only(t, "cur"), base+to)
		check(t, os.Chtimes(filepath.Join(s.dir, "cur"), info.ModTime(), info.ModTime()))
		m.folder.times.cur, m.folder.times.again = info.ModTime(), time.Time{}
	}
	quietly(":2,F")
	if gone, err := m.Expunge(t.Context(), nil); err != nil || len(gone) != 0 {
		t.Fatalf("%v, %v", gone, err)
	}
	quietly(":2,FR")
	stored, err := m.Store(t.Context(), []UID{uid}, Add, NewFlags(Seen), nil)
	check(t, err)
	if len(stored.Messages) != 1 || stored.Messages[0].Flags != NewFlags(Seen|Flagged|Answered) {
		t.Errorf("%+v", stored)
	}
	quietly(":2,S")
	if stored, err = m.Store(t.Context(), []UID{uid}, Add, NewFlags(0, "word"), nil); err != nil || stored.Messages[0].Flags != NewFlags(Seen, "word") {
		t.Errorf("%+v, %v", stored, err)
	}
	quietly(":2,")
	if read(t, m, uid) != letter {
		t.Error("another message")
	}
}

// 5. A file that vanished is told as such, by everything that needs it.
func TestVanishedFiles(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m, sent := s.sel(t, Inbox), s.sel(t, "Sent")
	var uids []UID
	for range 4 {
		uids = append(uids, put(t, m, letter, Flags{}))
	}
	before := m.State().HighestModSeq
	entries, err := os.ReadDir(filepath.Join(s.dir, "cur"))
	check(t, err)
	for _, e := range entries {
		check(t, os.Remove(filepath.Join(s.dir, "cur", e.Name())))
	}
	if _, err := m.Content(t.Context(), uids[0]); !errors.Is(err, ErrGone) {
		t.Errorf("%v", err)
	}
	if stored, err := m.Store(t.Context(), uids, Add, NewFlags(Seen), nil); err != nil || len(stored.Gone) != 4 || len(stored.Messages) != 0 {
		t.Errorf("%+v, %v", stored, err)
	}
	if pairs, err := m.Copy(t.Context(), uids, sent); err != nil || len(pairs) != 0 {
		t.Errorf("%v, %v", pairs, err)
	}
	c := m.Since(before)
	if !slices.Equal(c.Gone, uids) || c.HighestModSeq <= before {
		t.Errorf("%+v", c)
	}
}

// 6. The highest mod-sequence moves for what others did, also while nobody had the folder open,
// and never falls, whatever part of the index is lost.
func TestModSequencesNeverFall(t *testing.T) {
	dir := t.TempDir()
	highest := ModSeq(0)
	for i, lose := range []string{"", "", indexFile, journalFile, listFile, "index journal", "index uids journal"} {
		s := open(t, vfs.Default, dir)
		m := s.sel(t, Inbox)
		if now := m.State().HighestModSeq; now < 1 || now <= highest {
			t.Errorf("without %q: %d after %d", lose, now, highest)
		}
		put(t, m, letter, Flags{})
		put(t, m, letter, Flags{})
		highest = m.State().HighestModSeq
		s.root.Close()
		if i > 0 {
			s.drop(t, fmt.Sprintf("new/17000000%02d.x.host", i), unixLetter)
		} else {
			entries, err := os.ReadDir(filepath.Join(s.dir, "cur"))
			check(t, err)
			s.others(t, entries[0].Name(), entries[0].Name()+"F")
		}
		for _, file := range strings.Fields(lose) {
			check(t, os.Remove(filepath.Join(s.dir, indexFolder, file)))
		}
	}
}

// 7. New files get UIDs by the time in their names, wherever they lie; flags in new count; and
// nothing moves until somebody opens the folder to write.
func TestNewFiles(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	for _, name := range []string{"new/1700000002.M9.host", "cur/1700000002.M10P3.host:2,S", "new/1700000001.M99.host:2,T", "cur/1700000003.a.host", "new/1700000002.M100.host"} {
		s.drop(t, name, "Subject: "+filepath.Base(name)+"\n\n")
	}
	look := func(m *Mailbox) {
		t.Helper()
		var order []string
		for _, msg := range m.State().Messages {
			if !m.Recent(msg.UID) {
				t.Errorf("%d is not recent", msg.UID)
			}
			order = append(order, strings.TrimSpace(strings.TrimPrefix(read(t, m, msg.UID), "Subject: ")))
		}
		if want := "[1700000001.M99.host:2,T 1700000002.M9.host 1700000002.M10P3.host:2,S 1700000002.M100.host 1700000003.a.host]"; fmt.Sprint(order) != want {
			t.Errorf("%v", order)
		}
		if f := m.State().Messages[0].Flags; f != NewFlags(Deleted) {
			t.Errorf("%+v", f)
		}
	}
	m, err := s.user.Select(t.Context(), Inbox, true)
	check(t, err)
	look(m)
	st, err := s.user.Status(t.Context(), Inbox, false)
	check(t, err)
	if st.Recent != 5 || st.Messages != 5 || st.Deleted != 1 || st.Unseen != 4 {
		t.Errorf("%+v", st)
	}
	if _, err := m.Store(t.Context(), uidsOf(m), Add, NewFlags(Seen), nil); !errors.Is(err, ErrReadOnly) {
		t.Errorf("%v", err)
	}
	if entries, _ := os.ReadDir(filepath.Join(s.dir, "new")); len(entries) != 3 {
		t.Errorf("new holds %d", len(entries))
	}
	m.Close()
	m = s.sel(t, Inbox)
	look(m)
	if entries, _ := os.ReadDir(filepath.Join(s.dir, "new")); len(entries) != 0 {
		t.Errorf("new holds %d", len(entries))
	}
	if _, err := os.Stat(filepath.Join(s.dir, "cur/1700000002.M9.host:2,")); err != nil {
		t.Error(err)
	}
	if other := s.sel(t, Inbox); other.Recent(1) {
		t.Error("recent to a second session")
	}
}

// 8. Everything that others do is seen at the next look, however quickly it follows on what was
// seen; what the times do not tell is seen when it is time to read in full.
func TestEveryChangeIsSeen(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m := s.sel(t, Inbox)
	for i := range 200 {
		name := s.drop(t, fmt.Sprintf("new/17000%05d.x.host", i), unixLetter)
		if i%3 == 0 {
			check(t, os.Rename(name, filepath.Join(s.dir, "cur", filepath.Base(name)+":2,S")))
		}
		deadline := time.Now().Add(5 * time.Second)
		for len(uidsOf(m)) != i+1 && time.Now().Before(deadline) {
			refresh(t, m)
		}
		if n := len(uidsOf(m)); n != i+1 {
			t.Fatalf("%d of %d messages", n, i+1)
		}
	}
	cur := filepath.Join(s.dir, "cur")
	time.Sleep(2 * tick)
	refresh(t, m)
	info, err := os.Stat(cur)
	check(t, err)
	s.drop(t, "cur/1800000000.hidden.host:2,", unixLetter)
	check(t, os.Chtimes(cur, info.ModTime(), info.ModTime()))
	l := DefaultLimits()
	l.Full = time.Nanosecond
	check(t, s.root.Adjust(l))
	if !refresh(t, m) || len(uidsOf(m)) != 201 {
		t.Error("a folder whose time was put back is never read again")
	}
}

// 9. What is no regular file is no message; names without information, or with one that is not
// that of flags, are messages without flags.
func TestOddFiles(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	secret := filepath.Join(t.TempDir(), "secret")
	check(t, os.WriteFile(secret, []byte("x"), 0o600))
	check(t, os.Symlink(secret, filepath.Join(s.dir, "cur", "1700000000.link.host:2,")))
	check(t, os.Mkdir(filepath.Join(s.dir, "cur", "1700000000.folder.host:2,"), 0o700))
	for _, name := range []string{"cur/1700000001.a.host", "cur/1700000002.b.host:1,FS", "cur/1700000003.c.host:3,S", "cur/.hidden"} {
		s.drop(t, name, unixLetter)
	}
	m := s.sel(t, Inbox)
	for _, msg := range m.State().Messages {
		if msg.Flags != (Flags{}) {
			t.Errorf("%+v", msg)
		}
	}
	uids := uidsOf(m)
	if len(uids) != 3 {
		t.Fatalf("%v", uids)
	}
	stored, err := m.Store(t.Context(), uids, Add, NewFlags(Seen), nil)
	check(t, err)
	if len(stored.Messages) != 3 {
		t.Errorf("%+v", stored)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "cur/1700000002.b.host:2,S")); err != nil {
		t.Error(err)
	}
}

// Two files of one name, as a copy that kept it, are two messages.
func TestTwoFilesOfOneName(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	s.drop(t, "cur/1700000001.a.host:2,S", unixLetter)
	m := s.sel(t, Inbox)
	s.drop(t, "cur/1700000001.a.host:2,F", unixLetter+"other\n")
	refresh(t, m)
	refresh(t, m)
	if uids := uidsOf(m); len(uids) != 2 || read(t, m, uids[0]) == read(t, m, uids[1]) {
		t.Errorf("%v", uids)
	}
}

// 10. Folders of others are shown by their names, whatever they wrote them in, and each can be
// opened; what is no folder is none.
func TestFoldersOfOthers(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	for i, dir := range []string{".&ANw-bung", ".Übung", ".INBOX.x", ".x", ".a&b", ".inbox", ".inbox.Old", ".Inbox.x", ".v1&AC4-2", ".Deep.er.Still"} {
		s.drop(t, fmt.Sprintf("%s/cur/17000000%02d.a.host:2,", dir, i), unixLetter)
		check(t, os.MkdirAll(filepath.Join(s.dir, dir, "new"), 0o700))
	}
	for _, dir := range []string{".none", "..DOVECOT-TRASHED/cur", "plain/cur"} {
		check(t, os.MkdirAll(filepath.Join(s.dir, dir), 0o700))
	}
	for _, file := range []string{".mbsyncstate", ".uidvalidity", "courierimapuiddb", "maildirsize"} {
		s.drop(t, file, "x")
	}
	folders, err := s.user.Folders(t.Context())
	check(t, err)
	var names []string
	for _, f := range folders {
		if f.Missing {
			names = append(names, "("+f.Name+")")
			continue
		}
		names = append(names, f.Name)
		m := s.sel(t, f.Name)
		if n := len(uidsOf(m)); n > 1 || n == 0 && f.Name != Inbox && !f.Use.Valid() {
			t.Errorf("%s: %d messages", f.Name, n)
		}
	}
	want := "[INBOX Archive (Deep) (Deep/er) Deep/er/Still Drafts INBOX/Old INBOX/x INBOX/x~2 Junk Sent Trash a&b inbox~2 v1.2 x Übung Übung~2]"
	if fmt.Sprint(names) != want {
		t.Errorf("%v", names)
	}
	for _, file := range []string{".mbsyncstate", ".uidvalidity", "courierimapuiddb", "maildirsize"} {
		if b, err := os.ReadFile(filepath.Join(s.dir, file)); err != nil || string(b) != "x" {
			t.Errorf("%s: %q, %v", file, b, err)
		}
	}
	check(t, s.user.Create(t.Context(), "Prüfung/v2.0", UseNone))
	if _, err := os.Stat(filepath.Join(s.dir, ".Pr&APw-fung.v2&AC4-0", "maildirfolder")); err != nil {
		t.Error(err)
	}
}

// A folder of another program that could not be made here is opened, subscribed to and renamed by its name.
func TestAFolderOfANameThatWeDoNotGive(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	s.drop(t, ".100%/cur/1700000000.a.host:2,", unixLetter)
	check(t, os.MkdirAll(filepath.Join(s.dir, ".100%", "new"), 0o700))
	if m := s.sel(t, "100%"); len(uidsOf(m)) != 1 {
		t.Error(uidsOf(m))
	}
	check(t, s.user.Subscribe(t.Context(), "100%", true))
	var name *NameError
	if err := s.user.Subscribe(t.Context(), "5%", true); !errors.As(err, &name) {
		t.Errorf("a name that nobody has: %v", err)
	}
	check(t, s.user.Rename(t.Context(), "100%", "all"))
	if !slices.Contains(s.user.Subscriptions(), "all") {
		t.Error(s.user.Subscriptions())
	}
	check(t, s.user.Subscribe(t.Context(), "100%", false))
}
