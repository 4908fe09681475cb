package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
)

// walked is what the files of a mailbox are, as a walk over the disk finds them.
func walked(t *testing.T, dir string) (u Usage) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		in := filepath.Base(filepath.Dir(path))
		if err != nil || e.IsDir() || in != "cur" && in != "new" {
			return err
		}
		info, err := e.Info()
		if err == nil {
			u.Messages, u.Octets = u.Messages+1, u.Octets+info.Size()
		}
		return err
	}))
	return u
}

func (s *site) used(t *testing.T) Usage {
	t.Helper()
	u, err := s.user.Usage(t.Context())
	check(t, err)
	return u
}

// Whatever is done here and by other programs, whoever has a folder open, the usage is what the
// files are, also after a restart, after the index was made anew, and where it was lost.
func TestUsageIsWhatTheFilesAre(t *testing.T) {
	dir, r := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	s := open(t, vfs.Default, dir)
	m, junk := s.sel(t, Inbox), s.sel(t, "Junk")
	some := func(of *Mailbox) (uids []UID) {
		for _, x := range of.State().Messages {
			if r.IntN(5) == 0 {
				uids = append(uids, x.UID)
			}
		}
		return uids
	}
	for i := range 300 {
		var err error
		switch r.IntN(12) {
		case 0, 1:
			put(t, m, text(strings.Repeat("x", r.IntN(3000))), Flags{})
		case 2:
			_, err = m.Copy(t.Context(), some(m), junk)
		case 3:
			_, err = junk.Move(t.Context(), some(junk), m)
		case 4:
			_, err = m.Remove(t.Context(), some(m))
		case 5, 6: // another program delivers, into a folder that is open and into one that is not
			s.drop(t, fmt.Sprintf("%snew/17%08d.foreign.host", []string{"", ".Junk/", ".Archive/"}[r.IntN(3)], i), strings.Repeat("y", r.IntN(500)))
		case 7: // and removes
			files, _ := filepath.Glob(filepath.Join(s.dir, "cur", "*"))
			if len(files) > 0 {
				check(t, os.Remove(files[r.IntN(len(files))]))
			}
		case 8:
			_, err = s.user.Rebuild(t.Context(), Inbox)
		case 9:
			s.root.Close()
			if r.IntN(3) == 0 {
				check(t, os.RemoveAll(filepath.Join(s.dir, indexFolder)))
			}
			s = open(t, vfs.Default, dir)
			m, junk = s.sel(t, Inbox), s.sel(t, "Junk")
		case 10:
			check(t, s.user.Create(t.Context(), "new", UseNone))
			check(t, s.user.Delete(t.Context(), "new"))
		}
		if err != nil && !errors.Is(err, ErrGone) {
			t.Fatal(err)
		}
		// Of a change within the same tick of the disk's clock as the look before, the next look tells.
		for deadline := time.Now().Add(5 * time.Second); s.used(t) != walked(t, s.dir); time.Sleep(tick / 4) {
			if time.Now().After(deadline) {
				t.Fatalf("step %d: %+v, and the files are %+v", i, s.used(t), walked(t, s.dir))
			}
		}
	}
	nobody, err := s.root.Usage(t.Context(), address(t, "nobody@local.test"))
	if _, missing := os.Stat(filepath.Join(dir, "nobody")); err != nil || nobody != (Usage{}) || missing == nil {
		t.Errorf("%+v, %v, %v", nobody, err, missing)
	}
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	check(t, err)
	return a
}

// An index of a release that kept no lengths of files is read, and they are looked at once.
func TestUsageOfAFormerIndex(t *testing.T) {
	dir := t.TempDir()
	s := open(t, vfs.Default, dir)
	m := s.sel(t, Inbox)
	for i := range 20 {
		put(t, m, text(strings.Repeat("x", i)), NewFlags(Seen, "word"))
	}
	want, before := s.used(t), m.State()
	s.root.Close()
	index := filepath.Join(s.dir, indexFolder)
	b, whole := newBook(), newBook()
	for _, name := range []string{indexFile, journalFile} {
		old, err := os.ReadFile(filepath.Join(index, name))
		check(t, err)
		b, _ = readBook(old, 100)
		var out []byte
		if b.validity == 0 {
			b.head = whole.head
		}
		out = b.head.append(out)
		for _, e := range b.entries {
			out = appendFrame(out, func(o []byte) []byte {
				o = binary.AppendUvarint(append(o, kindEntry), uint64(e.uid))
				o = binary.AppendUvarint(o, uint64(e.modseq))
				o = binary.AppendUvarint(codec.AppendTime(o, e.date), uint64(e.size+1))
				o = codec.AppendText(append(o, 1, byte(e.flags.System)), e.flags.words)
				return codec.AppendText(o, e.file)
			})
		}
		out = appendEnd(out, b.next, b.modseq)
		whole = b
		check(t, os.WriteFile(filepath.Join(index, name), out, 0o600))
	}
	for range 2 {
		s = open(t, vfs.Default, dir)
		if v, err := s.user.Verify(t.Context(), Inbox); err != nil || !v.Sound() {
			t.Fatalf("%+v, %v", v, err)
		}
		if got := s.used(t); got != want || want.Messages != 20 {
			t.Errorf("%+v, want %+v", got, want)
		}
		after := s.sel(t, Inbox).State()
		if fmt.Sprint(after.Messages) != fmt.Sprint(before.Messages) {
			t.Error("the messages are others")
		}
		s.root.Close()
	}
}

// narrow is a quota of so many messages.
type narrow struct {
	most, taken, kept, left int
}

func (n *narrow) Take(_ context.Context, account mail.Address, octets int64, messages int) (func(bool), error) {
	if account.Local() != "alice" || octets <= 0 {
		return nil, errors.New("whose, and how much?")
	}
	if n.taken+n.kept+messages > n.most {
		return nil, &QuotaError{"full"}
	}
	n.taken += messages
	return func(kept bool) {
		if n.taken -= messages; kept {
			n.kept += messages
		}
	}, nil
}

func (n *narrow) Left(mail.Address) { n.left++ }

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("a message for which there is no room is read")
	return 0, errors.New("read")
}

// What adds messages asks the quota before anything is read, and takes room until it is there or
// given up; what adds none does not ask; an operator's view is not asked.
func TestQuotaIsAsked(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	q := &narrow{most: 4}
	s.root.quota = q
	m, junk := s.sel(t, Inbox), s.sel(t, "Junk")
	add := func(a *Appending) error {
		return a.Add(t.Context(), strings.NewReader(letter), int64(len(letter)), Flags{}, time.Time{})
	}
	is := func(when string, want narrow) {
		t.Helper()
		want.most = 4
		if *q != want {
			t.Errorf("%s: %+v, want %+v", when, *q, want)
		}
	}
	a := m.Begin()
	check(t, errors.Join(add(a), add(a)))
	is("while two are appended", narrow{taken: 2})
	_, err := a.Commit(t.Context())
	check(t, err)
	a.Abort()
	is("when they are", narrow{kept: 2})
	a = m.Begin()
	check(t, errors.Join(add(a), add(a)))
	if err := a.Add(t.Context(), unread{t}, 10, Flags{}, time.Time{}); !errors.Is(err, ErrOverQuota) {
		t.Error(err)
	}
	a.Abort()
	is("after three that are too many", narrow{kept: 2})
	all := uidsOf(m)
	pairs, err := m.Copy(t.Context(), all, junk)
	if err != nil || len(pairs) != 2 {
		t.Fatal(pairs, err)
	}
	is("after a copy", narrow{kept: 4})
	if _, err := m.Copy(t.Context(), all, junk); !errors.Is(err, ErrOverQuota) || len(uidsOf(junk)) != 2 {
		t.Error(err)
	}
	if pairs, err := m.Move(t.Context(), all, junk); err != nil || len(pairs) != 2 || len(uidsOf(m)) != 0 {
		t.Errorf("a move in a full mailbox: %v, %v", pairs, err)
	}
	is("after a move", narrow{kept: 4, left: 1})
	if err := s.user.Rename(t.Context(), Inbox, "Old"); err != nil {
		t.Error(err)
	}
	own := s.sel(t, Inbox)
	own.Unbounded()
	put(t, own, letter, NewFlags(Deleted))
	is("after an operator", narrow{kept: 4, left: q.left})
	status, err := s.user.Status(t.Context(), Inbox, false)
	if err != nil || status.DeletedOctets != int64(len(letter)-strings.Count(letter, "\r")) || status.Deleted != 1 {
		t.Errorf("%+v, %v", status, err)
	}
	_, err = own.Expunge(t.Context(), nil)
	check(t, err)
	check(t, s.user.Delete(t.Context(), "Old"))
	if q.left < 3 {
		t.Errorf("removals were told %d times", q.left)
	}
}
