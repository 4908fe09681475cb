package mailbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// witness is what readers were told: of each folder its UIDValidity, and which message has which
// UID.
type witness map[string]*account

type account struct {
	validity uint32
	next     UID
	modseq   ModSeq
	subject  map[UID]string
	flags    map[UID]Flags
	gone     map[UID]bool // acknowledged as removed
}

func subjectOf(t testing.TB, m *Mailbox, uid UID) string {
	t.Helper()
	line, _, _ := strings.Cut(read(t, m, uid), "\r\n")
	return strings.TrimPrefix(line, "Subject: ")
}

// note remembers what a reader sees in a folder.
func (w witness) note(t testing.TB, s *site, name string) {
	t.Helper()
	m := s.sel(t, name)
	defer m.Close()
	st := m.State()
	f := w[name]
	if f == nil || f.validity != st.UIDValidity {
		f = &account{validity: st.UIDValidity, subject: map[UID]string{}, gone: map[UID]bool{}}
		w[name] = f
	}
	f.flags = map[UID]Flags{}
	f.next, f.modseq = max(f.next, st.UIDNext), max(f.modseq, st.HighestModSeq)
	for _, msg := range st.Messages {
		f.subject[msg.UID], f.flags[msg.UID] = subjectOf(t, m, msg.UID), msg.Flags
	}
	for uid := range f.subject {
		if _, there := f.flags[uid]; !there {
			f.gone[uid] = true
		}
	}
}

// holds checks a mailbox after a crash against what was told before: which UIDs may be gone
// without having been told says maybe, by subject.
func (w witness) holds(t testing.TB, s *site, when string, maybe map[string]bool) {
	t.Helper()
	for name, f := range w {
		m := s.sel(t, name)
		st := m.State()
		if st.UIDValidity != f.validity {
			t.Fatalf("%s: %s has another UIDValidity", when, name)
		}
		there := map[UID]bool{}
		removed := map[string]bool{}
		for uid := range f.gone {
			removed[f.subject[uid]] = true
		}
		for _, msg := range st.Messages {
			there[msg.UID] = true
			was, known := f.subject[msg.UID]
			is := subjectOf(t, m, msg.UID)
			if known && was != is {
				t.Fatalf("%s: UID %d of %s was %q and is %q", when, msg.UID, name, was, is)
			}
			if removed[is] {
				t.Fatalf("%s: %q came back into %s as UID %d", when, is, name, msg.UID)
			}
			if known && msg.Flags != f.flags[msg.UID] && !maybe[is] {
				t.Fatalf("%s: flags of UID %d of %s are %v, not %v", when, msg.UID, name, msg.Flags, f.flags[msg.UID])
			}
			if !known && msg.UID < f.next {
				t.Fatalf("%s: UID %d of %s is below what was told as next", when, msg.UID, name)
			}
		}
		for uid, subject := range f.subject {
			if !there[uid] && !f.gone[uid] && !maybe[subject] {
				t.Fatalf("%s: %q, UID %d of %s, is lost", when, subject, uid, name)
			}
		}
		if st.HighestModSeq < f.modseq {
			t.Fatalf("%s: the mod-sequence of %s fell", when, name)
		}
		if uid := put(t, m, "Subject: later\r\n\r\n", Flags{}); uid < f.next || f.subject[uid] != "" {
			t.Fatalf("%s: UID %d of %s is given twice", when, uid, name)
		}
		m.Close()
	}
}

func text(subject string) string { return "Subject: " + subject + "\r\n\r\nbody\r\n" }

// acts are what readers do, each with the messages that it may take away or change.
type act struct {
	name  string
	do    func(s *site) error
	maybe []string
}

func acts() []act {
	// with finds messages by their subjects; the disk may fail meanwhile.
	with := func(m *Mailbox, do func([]UID) error, subjects ...string) error {
		var uids []UID
		for _, msg := range m.State().Messages {
			c, err := m.Content(context.Background(), msg.UID)
			if err != nil {
				return err
			}
			head := make([]byte, 40)
			n, _ := c.ReadAt(head, 0)
			if err := c.Close(); err != nil {
				return err
			}
			line, _, _ := strings.Cut(string(head[:n]), "\r\n")
			if slices.Contains(subjects, strings.TrimPrefix(line, "Subject: ")) {
				uids = append(uids, msg.UID)
			}
		}
		return do(uids)
	}
	in := func(s *site, do func(inbox, sent *Mailbox) error) error {
		inbox, err := s.user.Select(ctx(s), Inbox, false)
		if err != nil {
			return err
		}
		defer inbox.Close()
		sent, err := s.user.Select(ctx(s), "Sent", false)
		if err != nil {
			return err
		}
		defer sent.Close()
		return do(inbox, sent)
	}
	return []act{
		{"append", func(s *site) error {
			return in(s, func(inbox, _ *Mailbox) error {
				_, err := inbox.Append(ctx(s), strings.NewReader(text("new")), int64(len(text("new"))), NewFlags(Seen, "word"), time.Time{})
				return err
			})
		}, nil},
		{"several", func(s *site) error {
			return in(s, func(inbox, _ *Mailbox) error {
				a := inbox.Begin()
				defer a.Abort()
				for i := range 3 {
					text := text(fmt.Sprint("several", i))
					if err := a.Add(ctx(s), strings.NewReader(text), int64(len(text)), Flags{}, time.Time{}); err != nil {
						return err
					}
				}
				_, err := a.Commit(ctx(s))
				return err
			})
		}, nil},
		{"copy", func(s *site) error {
			return in(s, func(inbox, sent *Mailbox) error {
				return with(inbox, func(uids []UID) error { _, err := inbox.Copy(ctx(s), uids, sent); return err }, "one", "two")
			})
		}, nil},
		{"move", func(s *site) error {
			return in(s, func(inbox, sent *Mailbox) error {
				return with(inbox, func(uids []UID) error { _, err := inbox.Move(ctx(s), uids, sent); return err }, "one", "two")
			})
		}, []string{"one", "two"}},
		{"expunge", func(s *site) error {
			return in(s, func(inbox, _ *Mailbox) error { _, err := inbox.Expunge(ctx(s), nil); return err })
		}, []string{"deleted"}},
		{"remove", func(s *site) error {
			return in(s, func(inbox, _ *Mailbox) error {
				return with(inbox, func(uids []UID) error { _, err := inbox.Remove(ctx(s), uids); return err }, "three")
			})
		}, []string{"three"}},
		{"store", func(s *site) error {
			return in(s, func(inbox, _ *Mailbox) error {
				return with(inbox, func(uids []UID) error {
					_, err := inbox.Store(ctx(s), uids, Add, NewFlags(Flagged, "later"), nil)
					return err
				}, "one", "two")
			})
		}, []string{"one", "two"}},
		{"create", func(s *site) error {
			return errors.Join(s.user.Create(ctx(s), "Made/Here", UseNone), s.user.Subscribe(ctx(s), "Made/Here", true))
		}, nil},
		{"rename", func(s *site) error { return s.user.Rename(ctx(s), "Old", "Other") }, []string{"kept"}},
		{"delete", func(s *site) error { return s.user.Delete(ctx(s), "Old") }, []string{"kept"}},
	}
}

// furnished fills a mailbox.
func furnished(t testing.TB, disk vfs.FS) (*site, witness) {
	s := open(t, disk, "/mail")
	check(t, s.user.Create(ctx(s), "Old", UseNone))
	m := s.sel(t, Inbox)
	for _, subject := range []string{"one", "two", "three"} {
		put(t, m, text(subject), NewFlags(Seen, "old"))
	}
	put(t, m, text("deleted"), NewFlags(Deleted))
	put(t, s.sel(t, "Sent"), text("sent"), Flags{})
	put(t, s.sel(t, "Old"), text("kept"), Flags{})
	m.Close()
	w := witness{}
	w.note(t, s, Inbox)
	w.note(t, s, "Sent")
	return s, w
}

// The power goes at every operation of the disk within everything that readers do: what was told
// is there, what was not acknowledged is there or not, and no UID is given twice.
func TestPowerCutAtEveryOperation(t *testing.T) {
	for _, a := range acts() {
		t.Run(a.name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			var watched atomic.Bool
			var clones []*vfs.MemFS
			disk := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if watched.Load() {
					watched.Store(false)
					for _, percent := range []int{0, 100} {
						clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, 2))}))
					}
					watched.Store(true)
				}
				return nil
			}))
			s, w := furnished(t, disk)
			watched.Store(true)
			check(t, a.do(s))
			watched.Store(false)
			maybe := map[string]bool{}
			for _, subject := range a.maybe {
				maybe[subject] = true
			}
			if len(clones) < 4 {
				t.Errorf("only %d moments seen", len(clones))
			}
			for i, c := range clones {
				after := open(t, c, "/mail")
				w.holds(t, after, fmt.Sprintf("%s, power cut %d", a.name, i), maybe)
				if a.name == "move" || a.name == "rename" {
					isSomewhere(t, after, a.maybe)
				}
				after.root.Close()
			}
			// What was acknowledged is there after any later power cut.
			w.note(t, s, Inbox)
			w.note(t, s, "Sent")
			after := open(t, mem.CrashClone(vfs.CrashCloneCfg{}), "/mail")
			w.holds(t, after, a.name+", afterwards", nil)
		})
	}
}

// isSomewhere checks that messages that were on their way are in one folder at least.
func isSomewhere(t testing.TB, s *site, subjects []string) {
	t.Helper()
	folders, err := s.user.Folders(ctx(s))
	check(t, err)
	found := map[string]bool{}
	for _, f := range folders {
		if f.Missing {
			continue
		}
		m := s.sel(t, f.Name)
		for _, uid := range uidsOf(m) {
			found[subjectOf(t, m, uid)] = true
		}
		m.Close()
	}
	for _, subject := range subjects {
		if !found[subject] {
			t.Fatalf("%q is nowhere", subject)
		}
	}
}

// Every operation of the disk fails in turn: who asked is told, what he was told before stays
// true, and the same asked again is done.
func TestFaultAtEveryOperation(t *testing.T) {
	for _, a := range acts() {
		t.Run(a.name, func(t *testing.T) {
			for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
				for n := int64(1); ; n++ {
					mem := vfs.NewCrashableMem()
					var left atomic.Int64
					disk := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
						if left.Add(-1) == 0 {
							return fault
						}
						return nil
					}))
					s, w := furnished(t, disk)
					left.Store(n)
					err := a.do(s)
					done := left.Load() > 0
					left.Store(0)
					if errors.Is(err, syscall.ENOSPC) != errors.Is(err, ErrNoRoom) {
						t.Errorf("%v is not told as a full disk", err)
					}
					maybe := map[string]bool{}
					for _, subject := range a.maybe {
						maybe[subject] = true
					}
					if again := a.do(s); err != nil && again != nil && !errors.Is(again, ErrExists) && !errors.Is(again, ErrNoSuchMailbox) {
						t.Fatalf("%v at operation %d: the next says %v", fault, n, again)
					}
					after := open(t, mem.CrashClone(vfs.CrashCloneCfg{}), "/mail")
					w.holds(t, after, fmt.Sprintf("%s, %v at operation %d", a.name, fault, n), maybe)
					after.root.Close()
					s.root.Close()
					if done {
						break
					}
				}
			}
		})
	}
}
