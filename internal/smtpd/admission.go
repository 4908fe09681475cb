package smtpd

import (
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
	networks   map[netip.Prefix]int
	handshakes int
}

// NewAdmission returns an Admission that counts nothing yet.
func NewAdmission() *Admission {
	return &Admission{networks: map[netip.Prefix]int{}}
}

// enter counts a connection in, if the limits have room for it.
func (a *Admission) enter(network netip.Prefix, l *Limits) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open >= l.Connections {
		return false
	}
	if network.IsValid() {
		if a.networks[network] >= l.ConnectionsPerNetwork {
			return false
		}
		a.networks[network]++
	}
	a.open++
	return true
}

// leave counts a connection out.
func (a *Admission) leave(network netip.Prefix) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open--
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

// beginHandshake takes a place for a TLS handshake and says how long it may last.
func (a *Admission) beginHandshake(l *Limits) (time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	timeout, ok := l.handshake(a.handshakes)
	if ok {
		a.handshakes++
	}
	return timeout, ok
}

// endHandshake gives the place back.
func (a *Admission) endHandshake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handshakes--
}

// handshake says whether one more handshake may begin beside others, and how long
// it may take.
func (l *Limits) handshake(others int) (time.Duration, bool) {
	switch {
	case others >= l.Handshakes:
		return 0, false
	case others >= l.Handshakes/2:
		return min(l.HandshakeRush, l.HandshakeTimeout), true
	}
	return l.HandshakeTimeout, true
}

// networkOf returns what counts as one client's network: an IPv4 /24, an IPv6 /64.
// It is not valid, and only the total counts, for no address and for this host: a
// proxy on it speaks for everybody.
func networkOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil || a.IsLoopback() {
		return netip.Prefix{}
	}
	return p
}
