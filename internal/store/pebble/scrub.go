package pebble

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"time"

	"sallyport/internal/damage"
	"sallyport/internal/kit/parity"
	"sallyport/internal/store/pebble/chunks"
)

// scrubOctets is how much of a file is read at once.
const scrubOctets = 64 * parity.Page

// leastRest is the shortest pause between two scrubs, however long one takes.
const leastRest = time.Minute

// scrub reads every table and the manifest through, again and again, at a rate that disturbs nobody, so that rot is found
// while it can be undone. A file that has no guard yet gets one.
func (s *pebbleStore) scrub() {
	defer close(s.scrubbed)
	for {
		began := time.Now()
		if !s.scrubAll() {
			return
		}
		s.opts.Logger.Debug("the store was read through", "took", time.Since(began))
		if !s.rest(max(s.opts.ScrubEvery-time.Since(began), leastRest)) {
			return
		}
	}
}

// rest waits; false: the store is closed.
func (s *pebbleStore) rest(d time.Duration) bool {
	select {
	case <-s.quit:
		return false
	case <-time.After(d):
		return true
	}
}

// scrubAll reads every table once; false: the store is closed.
func (s *pebbleStore) scrubAll() bool {
	m := s.mender()
	names, err := m.names()
	if err != nil {
		s.opts.Logger.Warn("the store cannot be read through", "err", err)
		return true
	}
	var bad []string
	for _, name := range names {
		if !isTable(name) || s.isHopeless(name) {
			continue
		}
		sound, open := s.scrubFile(m, name)
		if !open {
			return false
		}
		if !sound {
			bad = append(bad, name)
		}
	}
	if g := s.current(); g != nil && len(bad) > 0 && s.suspect(bad...) {
		g.guard.fail(errors.New("tables were found damaged as they were read through"))
	}
	s.scrubManifest(m)
	return true
}

// scrubManifest compares the manifest with its copy, both of which are only ever added to. Where they differ the database is
// opened anew, which puts both right; but not where that could not be done, since the database that is open knows what
// they said and serves on.
func (s *pebbleStore) scrubManifest(m *mender) {
	g := s.current()
	names, err := m.names()
	if g == nil || err != nil {
		return
	}
	name := current(names)
	text, textErr := m.read(m.db(name))
	copied, copyErr := m.read(m.guard(name))
	n := min(len(text), len(copied))
	if textErr != nil || copyErr != nil || bytes.Equal(text[:n], copied[:n]) || g.guard.hasFailed() {
		return
	}
	best, _ := better(chunks.Read(text, 0, chunks.Manifest), chunks.Read(copied, 0, chunks.Manifest))
	if best.Lost() {
		s.note(damage.Found{
			Kind: damage.Log, File: m.db(name), What: "it and its copy are damaged in the same place; the server goes on, but would not start again",
			Lost: "nothing as long as the server runs: take no more mail, let the queue empty, then restore the last backup",
		})
		return
	}
	g.guard.fail(errors.New("the manifest and its copy were found to differ"))
}

func (s *pebbleStore) isHopeless(name string) bool {
	s.rot.mu.Lock()
	defer s.rot.mu.Unlock()
	return s.rot.hopeless[name]
}

// scrubFile reads a file through. One that cannot be read, or has gone, is sound as far as is known.
func (s *pebbleStore) scrubFile(m *mender, name string) (sound, open bool) {
	text, err := m.read(m.guard(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true, true
	}
	guard, err := parity.Parse(text)
	if err != nil {
		switch {
		case !s.ended(name):
			return true, true
		case !m.valid(name):
			return false, true
		}
		return true, s.guardLate(m, name)
	}
	sound = true
	size := int64(0)
	whole, open := s.readSlowly(m, name, func(at int64, p []byte) {
		sound = sound && len(guard.Bad(int(at/parity.Page), p)) == 0
		size = at + int64(len(p))
	})
	if sound = !whole || sound && size == guard.Size(); sound && whole && !guard.Whole() {
		s.note(damage.Found{Kind: damage.Table, File: m.guard(name), What: "what a table is put right with was damaged, and was made anew"})
		return true, s.guardLate(m, name)
	}
	return sound, open
}

// guardLate makes the guard of a file that has none: of one that an earlier version wrote, or whose guard a crash
// cut short. It is as it is then that the file is kept from then on; whether a file of values is sound, Pebble's own
// checksums say when it is read.
func (s *pebbleStore) guardLate(m *mender, name string) (open bool) {
	f := newGuardFollower(m.guards(), name)
	whole, open := s.readSlowly(m, name, func(_ int64, p []byte) { f.write(p) })
	f.close(whole && open)
	return open
}

// ended reports whether a file is written to its end, and in use.
func (s *pebbleStore) ended(name string) bool {
	g, err := s.enter()
	if err != nil {
		return false
	}
	defer g.leave()
	if g.guard.hasFailed() || g.guard.writes(name) {
		return false
	}
	spans, err := spansOf(g, name)
	return err == nil && (len(spans) > 0 || strings.HasSuffix(name, ".blob"))
}

// readSlowly calls fn with each part of a file; whole: all of it was read.
func (s *pebbleStore) readSlowly(m *mender, name string, fn func(at int64, p []byte)) (whole, open bool) {
	f, err := m.fs.Open(m.db(name))
	if err != nil {
		return false, true
	}
	defer f.Close()
	p := make([]byte, scrubOctets)
	pause := time.Duration(float64(len(p)) / float64(s.opts.ScrubRate) * float64(time.Second))
	for at := int64(0); ; {
		n, err := io.ReadFull(f, p)
		if n > 0 {
			fn(at, p[:n])
			at += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return true, true
		}
		if err != nil {
			return false, true
		}
		if !s.rest(pause) {
			return false, false
		}
	}
}
