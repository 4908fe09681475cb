package httpd

import (
	"net"
	"net/netip"
	"sync"
)

// networkShare is the part of the connections at one address, one in so many, that one network may
// have: what comes from there beyond it is closed at once, so that nobody alone keeps others
// waiting.
const networkShare = 4

// What counts as one network: what one site has of IPv4, and one customer of a provider of IPv6 at
// most. RFC 6177 §2.
const (
	networkBits4 = 24
	networkBits6 = 48
)

// shared is a listener of whose connections no network has more than its share.
type shared struct {
	net.Listener
	most int

	mu sync.Mutex
	of map[netip.Prefix]int
}

func share(ln net.Listener, connections int) *shared {
	return &shared{Listener: ln, most: max(1, connections/networkShare), of: map[netip.Prefix]int{}}
}

// networkOf returns what a client counts for; not valid: for nothing, as this host, on which a
// proxy may speak for everybody.
func networkOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := networkBits6
	if ip.Is4() {
		bits = networkBits4
	}
	p, err := ip.Prefix(bits)
	if err != nil || ip.IsLoopback() {
		return netip.Prefix{}
	}
	return p
}

// Accept returns the next connection whose network has room.
func (s *shared) Accept() (net.Conn, error) {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := networkOf(c.RemoteAddr())
		if !from.IsValid() {
			return c, nil
		}
		if s.enter(from) {
			return &seated{Conn: c, leave: sync.OnceFunc(func() { s.leave(from) })}, nil
		}
		_ = c.Close()
	}
}

func (s *shared) enter(from netip.Prefix) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[from] >= s.most {
		return false
	}
	s.of[from]++
	return true
}

func (s *shared) leave(from netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[from]--; s.of[from] == 0 {
		delete(s.of, from)
	}
}

// seated is a connection that counts for its network.
type seated struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *seated) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
