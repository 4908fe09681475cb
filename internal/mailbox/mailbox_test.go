package mailbox

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/mail"
	"sallyport/internal/store/pebble"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a mailbox on a disk.
type site struct {
	root *Root
	user *User
	dir  string
	ctx  context.Context
}

func open(t testing.TB, disk vfs.FS, dir string) *site {
	t.Helper()
	host, err := mail.ParseDomain("mx.local.test")
	check(t, err)
	alice, err := mail.ParseAddress("alice@local.test", mail.ASCII)
	check(t, err)
	root, err := New(Options{
		FS: pebble.Disk(disk), Folder: func(a mail.Address) (string, bool) { return filepath.Join(dir, a.Local()), true },
		Hostname: host, Limits: DefaultLimits(), Timely: disk == vfs.Default, Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	check(t, err)
	user, err := root.User(t.Context(), alice)
	check(t, err)
	t.Cleanup(root.Close)
	return &site{root, user, filepath.Join(dir, "alice"), t.Context()}
}

func (s *site) sel(t testing.TB, name string) *Mailbox {
	t.Helper()
	m, err := s.user.Select(t.Context(), name, false)
	check(t, err)
	t.Cleanup(m.Close)
	return m
}

func put(t testing.TB, m *Mailbox, text string, f Flags) UID {
	t.Helper()
	uid, err := m.Append(t.Context(), strings.NewReader(text), int64(len(text)), f, time.Unix(1_700_000_000, 0))
	check(t, err)
	return uid
}

func read(t testing.TB, m *Mailbox, uid UID) string {
	t.Helper()
	c, err := m.Content(t.Context(), uid)
	check(t, err)
	defer c.Close()
	b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	check(t, err)
	return string(b)
}

func came(t testing.TB, m *Mailbox, uid UID) time.Time {
	t.Helper()
	at, err := m.Date(t.Context(), uid)
	check(t, err)
	return at
}

const letter = "Subject: hello\r\n\r\nbody\r\n"

// What was appended is there, with its flags, date, size and octets, for others and after a
// restart, and is LF on the disk.
func TestAppendIsThere(t *testing.T) {
	dir := t.TempDir()
	s := open(t, vfs.Default, dir)
	m := s.sel(t, "INBOX")
	uid := put(t, m, letter, NewFlags(Seen|Flagged, "$forwarded", "Work"))
	for _, again := range []bool{false, true} {
		if again {
			s.root.Close()
			s = open(t, vfs.Default, dir)
			m = s.sel(t, "inbox")
		}
		st := m.State()
		if len(st.Messages) != 1 || st.Messages[0].UID != uid || st.UIDNext != uid+1 {
			t.Fatalf("%+v", st)
		}
		got := st.Messages[0]
		if got.Flags != NewFlags(Seen|Flagged, "$Forwarded", "Work") || !came(t, m, uid).Equal(time.Unix(1_700_000_000, 0)) {
			t.Errorf("%+v", got)
		}
		if n, err := m.Size(t.Context(), uid); err != nil || n != int64(len(letter)) {
			t.Errorf("%d, %v", n, err)
		}
		if read(t, m, uid) != letter {
			t.Errorf("%q", read(t, m, uid))
		}
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "cur", "*:2,FPS"))
	check(t, err)
	if len(files) != 1 {
		t.Fatalf("%q", files)
	}
	b, err := os.ReadFile(files[0])
	check(t, err)
	if string(b) != strings.ReplaceAll(letter, "\r\n", "\n") {
		t.Errorf("%q", b)
	}
}

// Flags, moves and removals are seen by another session.
func TestTwoSessions(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	a, b, sent := s.sel(t, "INBOX"), s.sel(t, "INBOX"), s.sel(t, "Sent")
	var uids []UID
	for range 4 {
		uids = append(uids, put(t, a, letter, Flags{}))
	}
	seen := b.State().HighestModSeq
	wait := b.Changed()
	stored, err := a.Store(t.Context(), uids[:2], Add, NewFlags(Deleted, "work"), nil)
	check(t, err)
	if len(stored.Messages) != 2 {
		t.Fatalf("%+v", stored)
	}
	select {
	case <-wait:
	default:
		t.Error("nobody was woken")
	}
	c := b.Since(seen)
	if len(c.Messages) != 2 || c.Messages[0].Flags != NewFlags(Deleted, "work") || len(c.Gone) != 0 {
		t.Errorf("%+v", c)
	}
	gone, err := a.Expunge(t.Context(), []UID{uids[1], uids[2]})
	check(t, err)
	if len(gone) != 1 || gone[0] != uids[1] {
		t.Errorf("%v", gone)
	}
	pairs, err := a.Move(t.Context(), []UID{uids[2], uids[3]}, sent)
	check(t, err)
	if len(pairs) != 2 || read(t, sent, pairs[1].To) != letter {
		t.Errorf("%+v", pairs)
	}
	c = b.Since(c.HighestModSeq)
	if len(c.Gone) != 3 || len(c.Messages) != 0 {
		t.Errorf("%+v", c)
	}
	before := ModSeq(1)
	stored, err = a.Store(t.Context(), []UID{uids[0], uids[3]}, Remove, NewFlags(Deleted), &before)
	check(t, err)
	if len(stored.Modified) != 1 || len(stored.Gone) != 1 {
		t.Errorf("%+v", stored)
	}
	if st, err := s.user.Status(t.Context(), "Sent", true); err != nil || st.Messages != 2 || st.Size != 2*int64(len(letter)) {
		t.Errorf("%+v, %v", st, err)
	}
}

func ctx(s *site) context.Context { return s.ctx }
