package stage

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Clock runs as the real one does, as far ahead of it as it was told to. The deadlines of the
// connections that a stage took are by it: who is waited for until noon has no time left when it is noon
// here.
type Clock struct {
	ahead atomic.Int64

	mu   sync.Mutex
	open map[*timed]bool // connections that the server has not closed
}

// Now is the time of the rehearsal.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance lets time pass at once, also for whoever is waited for.
func (c *Clock) Advance(d time.Duration) {
	c.ahead.Add(int64(d))
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range c.open {
		t.again()
	}
}

// connections is how many were taken and not closed by the server.
func (c *Clock) connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// real is a time of the rehearsal by the clock that the network knows. The zero time, which is no
// deadline, stays.
func (c *Clock) real(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(-time.Duration(c.ahead.Load()))
}

// hall is a listener whose connections have their deadlines by a Clock.
type hall struct {
	net.Listener
	clock *Clock
}

// Accept implements net.Listener.
func (h hall) Accept() (net.Conn, error) {
	c, err := h.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := &timed{Conn: c, clock: h.clock}
	h.clock.mu.Lock()
	defer h.clock.mu.Unlock()
	if h.clock.open == nil {
		h.clock.open = map[*timed]bool{}
	}
	h.clock.open[t] = true
	return t, nil
}

// timed is one connection.
type timed struct {
	net.Conn
	clock *Clock

	mu          sync.Mutex
	read, write time.Time // by the clock
}

// SetDeadline implements net.Conn.
func (t *timed) SetDeadline(at time.Time) error {
	if err := t.SetReadDeadline(at); err != nil {
		return err
	}
	return t.SetWriteDeadline(at)
}

// SetReadDeadline implements net.Conn.
func (t *timed) SetReadDeadline(at time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read = at
	return t.Conn.SetReadDeadline(t.clock.real(at))
}

// SetWriteDeadline implements net.Conn.
func (t *timed) SetWriteDeadline(at time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.write = at
	return t.Conn.SetWriteDeadline(t.clock.real(at))
}

// again sets the deadlines once more: the clock is another one now. Those that can't be set are of a
// connection that is closed.
func (t *timed) again() {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.Conn.SetReadDeadline(t.clock.real(t.read))
	_ = t.Conn.SetWriteDeadline(t.clock.real(t.write))
}

// Close implements net.Conn.
func (t *timed) Close() error {
	t.clock.mu.Lock()
	delete(t.clock.open, t)
	t.clock.mu.Unlock()
	return t.Conn.Close()
}
