package smtpd

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// Admission counts the connections and TLS handshakes in progress, against the
// limits of whoever asks. One may be shared by the listeners of a server. It is
// safe for use by many goroutines.
type Admission struct {
	mu         sync.Mutex
	open       int
	entered    uint64 // ever
	turnedAway uint64 // ever
	networks   map[netip.Prefix]int
	handshakes list.List // of func(), which end one; the oldest first
}

// NewAdmission returns an Admission that counts nothing yet.
func NewAdmission() *Admission {
	return &Admission{networks: map[netip.Prefix]int{}}
}

// enter counts a connection in, if the limits have room for it.
func (a *Admission) enter(network netip.Prefix, l *Limits) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open >= l.Connections || network.IsValid() && a.networks[network] >= l.ConnectionsPerNetwork {
		a.turnedAway++
		return false
	}
	if network.IsValid() {
		a.networks[network]++
	}
	a.open++
	a.entered++
	return true
}

// Counts returns how many connections were ever let in, and turned away.
func (a *Admission) Counts() (entered, turnedAway uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entered, a.turnedAway
}

// join counts a connection that is in already to its network, once that is known.
func (a *Admission) join(network netip.Prefix, l *Limits) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !network.IsValid() {
		return true
	}
	if a.networks[network] >= l.ConnectionsPerNetwork {
		return false
	}
	a.networks[network]++
	return true
}

// part undoes join.
func (a *Admission) part(network netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget(network)
}

// leave counts a connection out.
func (a *Admission) leave(network netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open--
	a.forget(network)
}

// forget takes one connection off a network; the lock is held.
func (a *Admission) forget(network netip.Prefix) {
	if !network.IsValid() {
		return
	}
	if a.networks[network]--; a.networks[network] <= 0 {
		delete(a.networks, network)
	}
}

// Open returns how many connections are open.
func (a *Admission) Open() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open
}

// beginHandshake takes a place for a TLS handshake and says how long it may last;
// release gives the place back. When all places are taken, the handshake that began
// first loses its own and abandon is called for it: an honest one is over in a few
// round trips, so what has waited longest is the likeliest to wait for nothing, and
// those who stall can't keep others out. abandon may be called until release
// returns, by any goroutine.
func (a *Admission) beginHandshake(l *Limits, abandon func()) (timeout time.Duration, release func()) {
	place, others, oldest := a.takePlace(l, abandon)
	if oldest != nil {
		oldest()
	}
	return l.handshake(others), func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		// Does nothing if the place was lost.
		a.handshakes.Remove(place)
	}
}

// takePlace adds a handshake and returns how many others there are. abandoned is
// not nil if the oldest had to make room.
func (a *Admission) takePlace(l *Limits, abandon func()) (place *list.Element, others int, abandoned func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if first := a.handshakes.Front(); first != nil && a.handshakes.Len() >= l.Handshakes {
		abandoned, _ = a.handshakes.Remove(first).(func())
	}
	others = a.handshakes.Len()
	return a.handshakes.PushBack(abandon), others, abandoned
}

// handshake says how long a handshake may take beside others.
func (l *Limits) handshake(others int) time.Duration {
	if others >= l.Handshakes/2 {
		return min(l.HandshakeRush, l.HandshakeTimeout)
	}
	return l.HandshakeTimeout
}

// networkOf returns what counts as one client's network. It is not valid, and only
// the total counts, for no address and for this host: a proxy on it speaks for
// everybody.
func networkOf(a netip.Addr) netip.Prefix {
	if a.IsLoopback() {
		return netip.Prefix{}
	}
	return clientNetwork(a)
}

// clientNetwork returns an IPv4 /24 or an IPv6 /64, also of an address that says it
// is this host's: a balancer may be told anything.
func clientNetwork(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
