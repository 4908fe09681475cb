package stage

import (
	"sync/atomic"
	"time"
)

// Clock runs as the real one does, as far ahead of it as it was told to.
type Clock struct{ ahead atomic.Int64 }

// Now is the time of the rehearsal.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance lets time pass at once.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }
