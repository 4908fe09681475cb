package pebble

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sallyport/internal/damage"
	"sallyport/internal/store"
)

// rot is what is known of damaged files.
type rot struct {
	mu       sync.Mutex
	suspects map[string]bool // that did not read, and are to be put right before the next opening
	all      bool            // it is not known which file it was
	panics   int             // reads that ended so
	hopeless map[string]bool // that were cut out, as far as they could be
	checked  bool            // tables were read through when the store opened
	told     map[string]bool // what was noted of files that nothing is done about
}

// note passes damage on, and logs it.
func (s *pebbleStore) note(f damage.Found) {
	s.opts.Logger.Error("the disk has damaged the store", "file", f.File, "what", f.What, "lost", f.Lost, "aside", f.Aside)
	if s.opts.Damage != nil {
		s.opts.Damage(f)
	}
}

func (s *pebbleStore) mender() *mender {
	return &mender{fs: s.opts.FS, root: s.opts.Dir, note: s.note}
}

// damaged is told that a file of a database does not read: that database is given up, and the next one is opened
// when the file was put right. A file of which that was tried already changes nothing more.
func (s *pebbleStore) damaged(g *guard, path string) {
	if s.suspect(s.opts.FS.PathBase(path)) {
		g.fail(fmt.Errorf("%s is damaged", path))
	}
}

// damagedIn is told of an error that may be that of a damaged file, of which Pebble tells by nothing else where it is a
// file of values: the error names it.
func (s *pebbleStore) damagedIn(g *guard, err error) {
	if !isDamage(err) || g.hasFailed() {
		return
	}
	m := s.mender()
	for _, number := range regexp.MustCompile(`\bfile (\d+)`).FindAllStringSubmatch(err.Error(), -1) {
		for _, kind := range []string{".sst", ".blob"} {
			if _, err := m.fs.Stat(m.db(number[1] + kind)); err == nil {
				s.damaged(g, number[1]+kind)
			}
		}
	}
}

// suspect has files looked at before the next opening; false: nothing more can be done for any.
func (s *pebbleStore) suspect(names ...string) (new bool) {
	s.rot.mu.Lock()
	defer s.rot.mu.Unlock()
	for _, name := range names {
		if s.rot.hopeless[name] {
			continue
		}
		if s.rot.suspects == nil {
			s.rot.suspects = map[string]bool{}
		}
		s.rot.suspects[name], new = true, true
	}
	return new
}

// notCut has tables cut the next time that were not, since the database failed meanwhile.
func (s *pebbleStore) notCut(names []string) {
	s.rot.mu.Lock()
	for _, name := range names {
		delete(s.rot.hopeless, name)
	}
	s.rot.mu.Unlock()
	s.suspect(names...)
}

// suspects reports whether files are to be looked at.
func (s *pebbleStore) suspects() bool {
	s.rot.mu.Lock()
	defer s.rot.mu.Unlock()
	return len(s.rot.suspects) > 0 || s.rot.all
}

// errPanic is what a read ended with that Pebble answered with a panic.
var errPanic = errors.New("the database does not read")

// mostPanics bounds how often a database is opened anew for a read that ended with a panic.
const mostPanics = 3

// surviving turns a panic of a read into an error: Pebble answers some damage so, but for that of files of values, which it
// does not get to see (rewrites.go).
func (s *pebbleStore) surviving(g *generation, err *error) {
	r := recover()
	if r == nil {
		return
	}
	s.rot.mu.Lock()
	s.rot.all = true
	s.rot.panics++
	tried := s.rot.panics > mostPanics
	s.rot.mu.Unlock()
	*err = fmt.Errorf("%w: %w: %v", store.ErrUnavailable, errPanic, r)
	if !tried {
		g.guard.fail(*err)
	}
}

// isDamage reports whether an error is that of a file that is damaged.
func isDamage(err error) bool {
	return err != nil && (pebble.IsCorruptionError(err) || errors.Is(err, errValues) || errors.Is(err, errPanic))
}

// mostReads bounds how often a read is tried that meets damage.
const mostReads = 4

// again waits, after a read that met damage, until the database is put right, and reports whether it may be read again:
// there may be more damage in it, which somebody else met.
func (s *pebbleStore) again(ctx context.Context, tries int, g *generation, err error) bool {
	switch {
	case tries >= mostReads || errors.Is(err, store.ErrNotFound):
		return false
	case isDamage(err):
		s.damagedIn(g.guard, err)
		return s.mended(ctx, g)
	}
	return tries > 0 && g == nil && errors.Is(err, store.ErrUnavailable) && s.mended(ctx, nil)
}

// mended waits until the database in which damage was met is replaced.
func (s *pebbleStore) mended(ctx context.Context, g *generation) bool {
	if g != nil && !g.guard.hasFailed() {
		return false // it stays as it is
	}
	until := time.Now().Add(2 * s.opts.CloseTime)
	for time.Now().Before(until) && ctx.Err() == nil {
		if now := s.current(); now != nil && now != g && !now.guard.hasFailed() {
			return true
		}
		select {
		case <-s.quit:
			return false
		case <-time.After(leastTick):
		}
	}
	return false
}

// mend puts right what is damaged before the database is opened, and returns the tables of which that could not be
// done.
func (s *pebbleStore) mend(m *mender) (hit []string, err error) {
	if err := m.prepare(); err != nil {
		return nil, err
	}
	if err := m.mendLogs(); err != nil {
		return nil, err
	}
	s.rot.mu.Lock()
	defer s.rot.mu.Unlock()
	names, err := m.names()
	if err != nil {
		return nil, err
	}
	until := time.Now()
	if !s.rot.checked {
		m.sweep()
		until = until.Add(s.opts.CheckTime)
	}
	s.rot.checked = true
	for _, name := range slices.Backward(names) { // the newest first
		switch {
		case !isTable(name) || s.rot.hopeless[name]:
			continue
		case s.rot.suspects[name] || s.rot.all:
		case !time.Now().Before(until):
			continue
		}
		state, err := m.mendTable(name)
		if errors.As(err, &unreadError{}) {
			// Who needs it is told that it is not to be had, and everything else is. That it was suspected changes nothing.
			if f := unreadFound(m.db(name), err); s.rot.first(f) {
				m.note(f)
			}
			if s.rot.suspects[name] {
				s.rot.giveUp(name)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		// Of a file that Pebble cannot read, and that is as its guard says, the guard was made too late.
		if state == broken || state != mended && s.rot.suspects[name] {
			hit = append(hit, name)
			s.rot.giveUp(name)
		}
	}
	s.rot.suspects, s.rot.all = nil, false
	return hit, nil
}

// giveUp notes that nothing more is tried with a file. The caller has the lock.
func (r *rot) giveUp(name string) {
	if r.hopeless == nil {
		r.hopeless = map[string]bool{}
	}
	r.hopeless[name] = true
}
