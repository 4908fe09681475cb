package mailbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// folder is one folder of a mailbox, shared by all who have it open.
type folder struct {
	root *Root
	user *User

	refs int // under the user's lock
	held int // messages that it had when they were counted last; under the user's lock

	mu       sync.Mutex
	dir      string
	ended    error // why nobody can go on with it
	book     *book
	journal  *journal
	cache    *cache
	damage   []string // what was found to be lost of the index when it was opened
	keyword  keywordLetters
	words    map[string]string // keywords by their small form, as they were written first
	times    times
	messages []Message // of the book at modseq; nobody changes it
	modseq   ModSeq
	altered  map[UID]bool       // messages that are not what they were, or cannot be read, as the log says
	lazy     []byte             // records that need not be durable, and are not written yet
	coming   map[string]EmailID // copies that have their names and no UIDs yet, by identity
	changed  chan struct{}      // closed at the next change
}

// times are those of the folders when they were read.
type times struct {
	new, cur, keywords time.Time
	full               time.Time // when everything was read
	again              time.Time // when to read again, since a later change may have the same time; zero: never
}

// tick is how long two changes may have the same time on a disk that counts nanoseconds: the
// kernel takes the time of its last tick.
const tick = 100 * time.Millisecond

func (f *folder) path(p place) string {
	sub := "new"
	if p.inCur {
		sub = "cur"
	}
	return filepath.Join(f.dir, sub, p.file)
}

func (e *entry) place() place { return place{e.file, e.inCur} }

// load reads the index, and writes a new one where it was not closed in order.
func (f *folder) load() error {
	l, err := f.journal.load(f.user.validity, f.root.bounds().Vanished)
	if err != nil {
		return err
	}
	f.book = l.book
	f.words, f.damage = map[string]string{}, l.damage
	for _, what := range l.damage {
		f.root.log.Warn("the index of a mailbox is damaged and is made anew from its files", "file", f.dir, "what", what)
		f.root.found(f.dir, what)
	}
	f.journal.broken = !l.exact
	if err := f.readKeywords(); err != nil || l.exact {
		return err
	}
	// What the files say is taken first, so that the new index holds it.
	if _, err := f.look(true); err != nil || !f.journal.broken {
		return err
	}
	return told(f.journal.renew(f.book))
}

// look takes what other programs did to the files, and reports whether there was anything. all
// reads the folders whatever their times say.
func (f *folder) look(all bool) (changed bool, err error) {
	if f.ended != nil {
		return false, f.ended
	}
	now := f.root.now()
	is, err := f.stat()
	if err != nil {
		return false, f.vanish(err)
	}
	if !is.keywords.Equal(f.times.keywords) {
		if err := f.readKeywords(); err != nil {
			return false, err
		}
	}
	due := all || !f.root.timely || now.Sub(f.times.full) >= f.root.bounds().Full || !f.times.again.IsZero() && !now.Before(f.times.again)
	if !due && is.new.Equal(f.times.new) && is.cur.Equal(f.times.cur) {
		return false, nil
	}
	began := now
	s, full, err := f.differences(due || !is.cur.Equal(f.times.cur))
	if err != nil {
		return false, f.vanish(err)
	}
	is.full, is.again = f.times.full, f.times.again
	if full {
		is.full, is.again = began, time.Time{}
	}
	if latest := maxTime(is.new, is.cur); began.Sub(latest) < tick {
		is.again = began.Add(tick + 10*f.root.now().Sub(began))
	}
	f.times = is
	if s.nothing() {
		return false, nil
	}
	return f.take(s)
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (f *folder) stat() (t times, err error) {
	t = f.times
	for _, s := range []struct {
		name string
		at   *time.Time
		must bool
	}{{"new", &t.new, true}, {"cur", &t.cur, true}, {keywordsFile, &t.keywords, false}} {
		info, err := f.root.fs.Stat(filepath.Join(f.dir, s.name))
		switch {
		case err == nil:
			*s.at = info.ModTime()
		case missing(err) && !s.must:
			*s.at = time.Time{}
		default:
			return t, err
		}
	}
	return t, nil
}

// vanish makes of a folder that is not there any more one that nobody can go on with.
func (f *folder) vanish(err error) error {
	if missing(err) {
		if _, gone := f.root.fs.Stat(filepath.Join(f.dir, "cur")); missing(gone) {
			f.ended = ErrNoSuchMailbox
			f.wake()
			return ErrNoSuchMailbox
		}
	}
	return err
}

// differences compares the files with the index. Because a file that is renamed while a folder
// is read may be in no listing, nothing is called missing that a second one has.
func (f *folder) differences(cur bool) (s seen, full bool, err error) {
	l, err := f.list(cur)
	if err != nil {
		return s, false, err
	}
	s = f.book.compare(l)
	if !cur && len(s.missing) > 0 { // somebody moved them
		return f.differences(true)
	}
	if len(s.missing) == 0 {
		return s, cur, nil
	}
	lost := map[*entry]bool{}
	for _, e := range s.missing {
		lost[e] = true
	}
	if l, err = f.list(true); err != nil {
		return s, false, err
	}
	s = f.book.compare(l)
	gone := s.missing[:0]
	for _, e := range s.missing {
		if lost[e] {
			gone = append(gone, e)
		}
	}
	s.missing = gone
	return s, true, nil
}

// list reads new before cur, so that a file on its way from one to the other is in one at
// least.
func (f *folder) list(cur bool) (l listing, err error) {
	if l.new, err = f.root.fs.Files(filepath.Join(f.dir, "new")); err != nil {
		return l, err
	}
	if cur {
		l.curRead = true
		l.cur, err = f.root.fs.Files(filepath.Join(f.dir, "cur"))
	}
	return l, err
}

// take makes the index say what the files are.
func (f *folder) take(s seen) (changed bool, err error) {
	found, err := f.newcomers(&s)
	if err != nil {
		return false, err
	}
	if len(found)+len(s.renamed)+len(s.missing) == 0 {
		return false, nil
	}
	b := f.book
	if err := f.journal.ensure(b.validity, b.next+UID(len(found)), b.modseq+1); err != nil {
		return false, told(err)
	}
	modseq := b.modseq + 1
	// What becomes part of a new index at once need not be written apart.
	whole := f.journal.broken
	var out []byte
	for _, r := range s.renamed {
		e := *r.entry
		was := e.flags
		e.flags = f.keyword.merged(e.flags, e.file, r.is.file)
		e.file, e.inCur = r.is.file, r.is.inCur
		if e.flags != was {
			e.modseq, changed = modseq, true
		}
		out = e.append(out)
		b.put(&e)
	}
	gone := make([]vanished, 0, len(s.missing))
	for _, e := range s.missing {
		gone = append(gone, vanished{e.uid, modseq})
	}
	out = appendGone(out, gone)
	b.remove(gone, f.root.bounds().Vanished)
	b.expect(len(found))
	for _, e := range found {
		e.uid, e.modseq = b.next, modseq
		if !whole {
			out = e.append(out)
		}
		b.put(e)
	}
	if changed = changed || len(found)+len(gone) > 0; changed {
		b.modseq = modseq
		f.wake()
	}
	return changed, f.note(out)
}

// newcomers describes the files of no known message. When it came and how long it is, its file is
// asked for when somebody wants to know: to ask that of each file of a long folder takes longer than
// all the rest.
func (f *folder) newcomers(s *seen) (found []*entry, err error) {
	for _, t := range s.twice {
		p, again, err := f.another(t)
		if err != nil {
			return nil, err
		}
		switch {
		case again:
			s.renamed = append(s.renamed, renamed{t.entry, t.other})
		case p:
			s.found = append(s.found, t.other)
		}
	}
	found = make([]*entry, 0, len(s.found))
	for _, p := range s.found {
		if len(p.file) < maxName/2 {
			e := &entry{file: p.file, inCur: p.inCur, size: -1, octets: -1, flags: f.keyword.merged(Flags{}, "", p.file)}
			if len(f.coming) > 0 {
				e.origin = f.coming[identity(p.file)]
			}
			found = append(found, e)
		}
	}
	return found, nil
}

// another judges a second file that has the name of a known message: it is the message under
// its next name, the same file still under both, or a message of its own.
func (f *folder) another(t twice) (message, renamed bool, err error) {
	known, err := f.root.fs.Lstat(f.path(t.entry.place()))
	if missing(err) {
		return false, true, nil
	}
	if err != nil {
		return false, false, err
	}
	other, err := f.root.fs.Lstat(f.path(t.other))
	if missing(err) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	return !os.SameFile(known, other), false, nil
}

// note writes what changed. It is durable after sync; a journal that has grown long becomes a
// new index, and is durable then.
func (f *folder) note(records []byte) error {
	if len(f.lazy) > 0 {
		records = append(f.lazy, records...)
		f.lazy = nil
	}
	if len(records) > 0 && !f.journal.broken {
		if err := f.journal.write(records); err != nil {
			f.root.log.Error("the index of a mailbox could not be written", "file", f.dir, "err", err)
		}
	}
	if f.journal.full(f.root.bounds().Journal) {
		if err := f.journal.renew(f.book); err != nil {
			return told(fmt.Errorf("index of %s: %w", f.dir, err))
		}
	}
	return nil
}

// sync returns when what was noted is durable. It is called without the lock, so that others
// share it.
func (f *folder) sync() error {
	err := f.journal.sync()
	if err == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.journal.broken = true
	return told(errors.Join(err, f.note(nil)))
}

// wake tells all who wait that something changed.
func (f *folder) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// mine runs what changes names in cur or new, and takes the times that it gives the folders for
// known, if nobody else had changed them before.
func (f *folder) mine(act func() error) error {
	before, errBefore := f.stat()
	known := errBefore == nil && before.new.Equal(f.times.new) && before.cur.Equal(f.times.cur)
	err := act()
	if after, errAfter := f.stat(); known && errAfter == nil {
		f.times.new, f.times.cur = after.new, after.cur
		if f.times.again.IsZero() {
			f.times.again = f.root.now().Add(20 * tick)
		}
	}
	return err
}

// keywordsFile is where Dovecot notes what the letters a to z stand for.
const keywordsFile = "dovecot-keywords"

// readKeywords takes what letters stand for. Letters that get a meaning give their messages the
// keyword; when the file is gone, letters mean nothing, and what was known stays.
func (f *folder) readKeywords() error {
	text, err := readFile(f.root.fs, filepath.Join(f.dir, keywordsFile))
	if err != nil {
		return err
	}
	was := f.keyword
	f.keyword = keywordLetters{}
	f.keyword.read(string(text[:min(len(text), maxKeywordsFile)]))
	if info, err := f.root.fs.Stat(filepath.Join(f.dir, keywordsFile)); err == nil {
		f.times.keywords = info.ModTime()
	} else {
		f.times.keywords = time.Time{}
	}
	if was == f.keyword {
		return nil
	}
	var out []byte
	modseq := f.book.modseq + 1
	for i, e := range f.book.entries {
		have, _ := lettersOf(e.file)
		flags := e.flags
		for _, c := range []byte(have) {
			if w := f.keyword.word(c); w != "" && w != was.word(c) {
				flags = flags.With(NewFlags(0, w))
			}
		}
		if flags != e.flags {
			c := *e
			c.flags, c.modseq = flags, modseq
			f.book.entries[i], f.book.keys[c.key] = &c, &c
			out = c.append(out)
		}
	}
	if len(out) == 0 {
		return nil
	}
	if err := f.journal.ensure(f.book.validity, f.book.next, modseq); err != nil {
		return told(err)
	}
	f.book.modseq = modseq
	f.wake()
	return f.note(out)
}

// maxKeywordsFile bounds a file of keywords that another server left, in octets.
const maxKeywordsFile = 64 << 10
