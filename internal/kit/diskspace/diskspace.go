// Package diskspace tracks how much room a disk still has for mail.
//
// A part of the disk is kept free of mail, so that what was accepted can be settled,
// accounts can be frozen and the trace goes on. Whoever brings content asks Take
// first: what was taken and is not written yet counts as written, so that no number of
// writers at once goes below the reserve.
package diskspace

import (
	"context"
	"sync"
	"time"
)

const (
	// believed is how long a measurement of free space is believed.
	believed = 250 * time.Millisecond
	// looked is how often it is seen whether space has become low, or enough.
	looked = time.Second
	// clearly is the part of the reserve that must be free above it before the disk is
	// called free again, so that one that hovers at the reserve is told of once.
	clearly = 4
)

// Space is the space of one disk. It is safe for concurrent use.
type Space struct {
	on  Disk
	dir string
	now func() time.Time

	mu      sync.Mutex
	min     uint64
	at      time.Time
	free    uint64 // as measured, less what was written since
	taken   uint64 // and is not written yet
	unknown bool   // the disk does not tell
	refused bool   // somebody, since it was looked at last
	low     bool   // as it was told
}

// Disk tells the octets that may still be written to the disk of a folder.
type Disk interface {
	Free(dir string) (uint64, error)
}

// New returns the space of the disk that holds dir, of which min octets stay free.
func New(on Disk, dir string, min uint64) *Space {
	return &Space{on: on, dir: dir, min: min, now: time.Now}
}

// Dir returns the folder that it was made for.
func (s *Space) Dir() string { return s.dir }

// Reserve replaces the octets that stay free.
func (s *Space) Reserve(octets uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.min = octets
}

// Reserved returns the octets that stay free.
func (s *Space) Reserved() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.min
}

// Take takes n octets that are about to be written; give ends that, once they are
// written or will not be. It is false when they would go into the reserve. A disk that
// does not tell its free space is never low: writes then meet its end themselves.
func (s *Space) Take(n int64) (give func(), ok bool) {
	octets := uint64(max(n, 0))
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fits(octets) {
		s.refused = true
		return func() {}, false
	}
	s.taken += octets
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken -= octets
		s.free -= min(s.free, octets)
	}), true
}

// Low reports whether n octets more would go into the reserve.
func (s *Space) Low(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.fits(uint64(max(n, 0)))
}

// fits measures, if the last measurement is old; the lock is held.
func (s *Space) fits(octets uint64) bool {
	if now := s.now(); now.Sub(s.at) >= believed {
		free, err := s.on.Free(s.dir)
		s.at, s.free, s.unknown = now, free, err != nil
	}
	return s.unknown || s.free >= s.min && s.free-s.min >= s.taken && s.free-s.min-s.taken >= octets
}

// Change is that space has become low, or enough.
type Change struct {
	Low           bool
	Free, Reserve uint64
}

// Watch calls tell at each change until ctx ends: once when space becomes low or
// somebody was refused for it, and once when there is clearly enough again.
func (s *Space) Watch(ctx context.Context, tell func(Change)) {
	tick := time.NewTicker(looked)
	defer tick.Stop()
	for {
		if c, changed := s.look(); changed {
			tell(c)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// IsLow reports what Watch told last.
func (s *Space) IsLow() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.low
}

func (s *Space) look() (c Change, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fits := s.fits(0)
	low := !fits || s.refused
	if s.low && !low {
		low = !s.unknown && s.free-s.min < s.min/clearly
	}
	s.refused = false
	changed = low != s.low
	s.low = low
	return Change{Low: low, Free: s.free, Reserve: s.min}, changed
}
