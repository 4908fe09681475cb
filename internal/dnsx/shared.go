package dnsx

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Shared has everybody who asks the same servers ask by one Client: its bounds hold for all of them
// together, and what one was told the others need not ask. The zero Shared is ready, and safe for
// concurrent use.
type Shared struct {
	mu   sync.Mutex
	last *Client
}

// System returns the Client of the servers, or of the system's where there are none, as System
// makes it. It stays the same until it is asked for other servers.
func (s *Shared) System(servers []netip.AddrPort, validating bool, now func() time.Time) (*Client, error) {
	o, err := systemOptions(servers, validating, now)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil && slices.Equal(s.last.o.Servers, o.Servers) {
		return s.last, nil
	}
	c, err := NewClient(o)
	if err == nil {
		s.last = c
	}
	return c, err
}
