package pebblestore

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
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
