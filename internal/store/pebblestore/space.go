package pebblestore

import (
	"errors"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/store"
)

// spaceTime is how long a measurement of free space is believed.
const spaceTime = 250 * time.Millisecond

// space watches the free space of the disk.
type space struct {
	fs  vfs.FS
	dir string
	min uint64

	mu      sync.Mutex
	at      time.Time
	free    uint64 // as measured, less what was announced since
	unknown bool   // the disk does not tell
}

// Reserve replaces Options.MinFree of a store that Open returned.
func Reserve(st store.Store, octets uint64) error {
	s, ok := st.(*pebbleStore)
	if !ok {
		return errors.New("pebblestore: this is another store")
	}
	s.space.reserve(octets)
	return nil
}

// Reserved returns the reserve in force of a store that Open returned; 0 for another.
func Reserved(st store.Store) uint64 {
	s, ok := st.(*pebbleStore)
	if !ok {
		return 0
	}
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	return s.space.min
}

// reserve replaces the reserve.
func (s *space) reserve(octets uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.min = octets
}

// low reports whether free space is below the reserve, or would be with n octets
// more. A disk that does not tell its free space is never low: writes then meet
// its end themselves.
func (s *space) low(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.at) >= spaceTime {
		u, err := s.fs.GetDiskUsage(s.dir)
		s.at, s.free, s.unknown = now, u.AvailBytes, err != nil
	}
	s.free -= min(s.free, uint64(n))
	return !s.unknown && s.free < s.min
}
