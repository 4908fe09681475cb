package mailbox

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// damaged fills a folder, damages its index, and returns what it was before.
func damaged(t *testing.T, damage func(dir string)) (s *site, before State) {
	t.Helper()
	dir := t.TempDir()
	s = open(t, vfs.Default, dir)
	m := s.sel(t, Inbox)
	for i := range 20 {
		put(t, m, text(fmt.Sprint(i)), NewFlags(Seen, "word"))
	}
	_, err := m.Remove(t.Context(), []UID{3})
	check(t, err)
	before = m.State()
	s.root.Close()
	// The index holds what it held when it was begun; twenty messages are in the journal. Have half
	// of them in each.
	s = open(t, vfs.Default, dir)
	user := s.user
	_, err = user.Rebuild(t.Context(), Inbox)
	check(t, err)
	m = s.sel(t, Inbox)
	for i := 20; i < 40; i++ {
		put(t, m, text(fmt.Sprint(i)), NewFlags(Seen, "word"))
	}
	before = m.State()
	s.root.Close()
	damage(filepath.Join(s.dir, indexFolder))
	return open(t, vfs.Default, dir), before
}

// Whatever is damaged of an index is named, costs no message, and gives no UID twice; what it
// costs is what the decision says.
func TestDamage(t *testing.T) {
	flip := func(name string, at int) func(string) {
		return func(dir string) {
			b, err := os.ReadFile(filepath.Join(dir, name))
			check(t, err)
			b[(at+len(b))%len(b)] ^= 0x10
			check(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
		}
	}
	cut := func(name string, left int) func(string) {
		return func(dir string) { check(t, os.Truncate(filepath.Join(dir, name), int64(left))) }
	}
	remove := func(names ...string) func(string) {
		return func(dir string) {
			for _, n := range names {
				check(t, os.Remove(filepath.Join(dir, n)))
			}
		}
	}
	for name, c := range map[string]struct {
		damage   func(string)
		named    string
		sameUIDs int  // of the 39 messages
		words    int  // that keep their keyword
		validity bool // stays
	}{
		"nothing":                       {func(string) {}, "", 39, 39, true},
		"a bit of the index":            {flip(indexFile, 700), indexFile, 39, 39, true},
		"a bit of the journal":          {flip(journalFile, -700), journalFile, 39, 39, true},
		"a bit of the promise":          {flip(promiseFile, 20), promiseFile, 39, 39, true},
		"a bit of the head":             {flip(indexFile, 12), indexFile, 39, 39, true},
		"half of the index":             {cut(indexFile, 800), indexFile, 39, 29, true},
		"the end of the journal":        {cut(journalFile, 900), "", 24, 24, true}, // as a power cut may leave it
		"an empty journal":              {cut(journalFile, 0), journalFile, 19, 19, true},
		"an empty index":                {cut(indexFile, 0), indexFile, 39, 20, true},
		"the journal":                   {remove(journalFile), journalFile, 19, 19, true},
		"the index":                     {remove(indexFile), indexFile, 39, 20, true},
		"the second copy":               {remove(listFile), "", 39, 39, true},
		"the promise":                   {remove(promiseFile), promiseFile, 39, 39, true},
		"both copies":                   {remove(indexFile, listFile), indexFile, 20, 20, true},
		"the promise after a crash":     {func(d string) { cut(journalFile, 900)(d); remove(promiseFile)(d) }, promiseFile, 0, 24, false},
		"everything":                    {remove(indexFile, journalFile, listFile, promiseFile), "", 0, 0, false},
		"the parsed messages and sizes": {func(d string) { _ = os.Remove(filepath.Join(d, cacheFile)) }, "", 39, 39, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, before := damaged(t, c.damage)
			v, err := s.user.Verify(t.Context(), Inbox)
			check(t, err)
			if all := strings.Join(v.Damage, "; "); (all == "") != (c.named == "") || !strings.Contains(all, c.named) || v.Messages != 39 || len(v.Unreadable) != 0 {
				t.Errorf("verified as %+v", v)
			}
			m := s.sel(t, Inbox)
			after := m.State()
			if len(after.Messages) != 39 || (after.UIDValidity == before.UIDValidity) != c.validity {
				t.Fatalf("%d messages, UIDValidity stays: %v", len(after.Messages), after.UIDValidity == before.UIDValidity)
			}
			if c.validity && (after.HighestModSeq < before.HighestModSeq || after.UIDNext < before.UIDNext) {
				t.Errorf("UIDNext %d after %d, highest %d after %d", after.UIDNext, before.UIDNext, after.HighestModSeq, before.HighestModSeq)
			}
			same, words := sameAs(t, m, c.validity)
			if c.sameUIDs != same && c.validity || words != c.words {
				t.Errorf("%d UIDs, %d keywords", same, words)
			}
			if next := put(t, m, letter, Flags{}); c.validity && next < before.UIDNext {
				t.Errorf("UID %d is given twice", next)
			}
			r, err := s.user.Rebuild(t.Context(), Inbox)
			check(t, err)
			if v, err := s.user.Verify(t.Context(), Inbox); err != nil || !v.Sound() || r.Messages != 40 || r.NewUIDs != 0 {
				t.Errorf("%+v, %+v, %v", v, r, err)
			}
		})
	}
}

// sameAs counts the messages that have the UID that they had, and those that have their
// keyword. Another message under a UID that was given is a fault.
func sameAs(t *testing.T, m *Mailbox, validity bool) (same, words int) {
	t.Helper()
	for _, msg := range m.State().Messages {
		subject := subjectOf(t, m, msg.UID)
		var i UID
		_, err := fmt.Sscan(subject, &i)
		check(t, err)
		if msg.UID == i+1 {
			same++
		} else if msg.UID < 41 && validity {
			t.Errorf("UID %d is message %s", msg.UID, subject)
		}
		if msg.Flags.HasKeyword("word") {
			words++
		}
	}
	return same, words
}

// A file that is not what it was, or cannot be read, is named; what others did is no damage.
func TestVerifyNamesFiles(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	m := s.sel(t, Inbox)
	put(t, m, letter, Flags{})
	name := s.only(t, "cur")
	check(t, os.WriteFile(filepath.Join(s.dir, "cur", name), []byte(unixLetter[:5]), 0o600))
	s.drop(t, "new/1700000000.new.host", unixLetter)
	v, err := s.user.Verify(t.Context(), Inbox)
	check(t, err)
	if len(v.Unreadable) != 1 || !strings.Contains(v.Unreadable[0], name) || v.Found != 1 || v.Messages != 2 || len(v.Damage) != 0 {
		t.Errorf("%+v", v)
	}
}

// A bit that the disk loses within a message is named: by the log when somebody reads it, and by
// verify, whether somebody read it meanwhile or not, and after a restart. What is made anew takes
// the file as it is.
func TestAMessageThatIsNotWhatItWas(t *testing.T) {
	dir := t.TempDir()
	s := open(t, vfs.Default, dir)
	m := s.sel(t, Inbox)
	first := put(t, m, letter, Flags{})
	put(t, m, letter, Flags{}) // nothing becomes of it
	s.drop(t, "cur/1700000000.M1.delivered:2,", unixLetter)
	refresh(t, m)
	delivered := uidsOf(m)[2]
	read(t, m, delivered)
	cut := put(t, m, letter, Flags{})
	files := []string{m.FileOf(first), m.FileOf(delivered), m.FileOf(cut)}
	for i, file := range files {
		text, err := os.ReadFile(filepath.Join(s.dir, "cur", file))
		check(t, err)
		if text[12] ^= 4; i == 2 {
			text = text[:9]
		}
		check(t, os.WriteFile(filepath.Join(s.dir, "cur", file), text, 0o600))
	}
	named := func(when string) {
		t.Helper()
		v, err := s.user.Verify(t.Context(), Inbox)
		check(t, err)
		if all := strings.Join(v.Unreadable, "\n"); len(v.Unreadable) != 3 || !strings.Contains(all, files[0]+" is not what it was") || !strings.Contains(all, files[1]+" is not what it was") || !strings.Contains(all, files[2]) {
			t.Errorf("%s: %v", when, v.Unreadable)
		}
	}
	named("before anybody read them")
	var log strings.Builder
	s.root.log = slog.New(slog.NewTextHandler(&log, nil))
	for range 2 {
		for _, msg := range m.State().Messages {
			c, err := m.Content(t.Context(), msg.UID)
			check(t, err)
			if c.Altered() != (msg.UID == first || msg.UID == delivered || msg.UID == cut) {
				t.Errorf("UID %d: altered is %v", msg.UID, c.Altered())
			}
			check(t, c.Close())
		}
	}
	for _, file := range files {
		if strings.Count(log.String(), file) != 1 {
			t.Errorf("%s is not named once: %s", file, log.String())
		}
	}
	named("once they were read")
	to := s.sel(t, "Junk")
	_, err := m.Copy(t.Context(), []UID{first}, to)
	check(t, err)
	if v, err := s.user.Verify(t.Context(), "Junk"); err != nil || len(v.Unreadable) != 1 {
		t.Errorf("the copy: %+v, %v", v, err)
	}
	s.root.Close()
	s = open(t, vfs.Default, dir)
	named("after a restart")
	_, err = s.user.Rebuild(t.Context(), Inbox)
	check(t, err)
	if v, err := s.user.Verify(t.Context(), Inbox); err != nil || !v.Sound() {
		t.Errorf("made anew: %+v, %v", v, err)
	}
}
