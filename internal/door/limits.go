package door

import (
	"errors"
	"fmt"
	"time"

	"sallyport/internal/screen"
)

// Limits bounds connections before anybody speaks with them. Every field must be positive,
// except those that say that zero switches them off.
type Limits struct {
	// Connections is how many may be open at once, over all listeners that share an
	// Admission.
	Connections int
	// Reserved is how many of them are for sessions that have signed in; 0: none.
	Reserved int
	// ConnectionsPerNetwork bounds those of one IPv4 /24 or IPv6 /64; a /20 or /56 may
	// have screen.WideShare times as many, a /16 or /48 screen.WidestShare times. This
	// host itself is not bounded.
	ConnectionsPerNetwork int
	// Handshakes is how many TLS handshakes may be in progress at once, and as many again
	// from addresses from which somebody of ours signed in within VouchTime. While
	// more than half of them are, each new one has only HandshakeRush; when all are,
	// the oldest is given up for a new one, so that clients that stall theirs can't
	// keep others out.
	Handshakes int
	// HandshakesAtOnce is how many of each of the two kinds are computed at once for each
	// processor; the others wait for their turn.
	HandshakesAtOnce int
	// HandshakeTurn is how long the turn of a handshake lasts at most.
	HandshakeTurn time.Duration
	// HandshakeTimeout bounds a TLS handshake, HandshakeRush one under pressure.
	HandshakeTimeout, HandshakeRush time.Duration
	// ProxyTimeout bounds the wait for a balancer's PROXY header.
	ProxyTimeout time.Duration
}

// DefaultLimits returns the limits where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		Connections: 4096, ConnectionsPerNetwork: 128, Handshakes: 512, HandshakesAtOnce: 4, HandshakeTurn: 5 * time.Millisecond,
		HandshakeTimeout: 30 * time.Second, HandshakeRush: 5 * time.Second, ProxyTimeout: 5 * time.Second,
	}
}

// DefaultReaderLimits returns those of the doors behind which mailboxes are read, where nothing
// else was told: a mail program holds several connections open all day, and an office has one
// address.
func DefaultReaderLimits() Limits {
	return Limits{
		Connections: 4096, ConnectionsPerNetwork: 1024, Handshakes: 512, HandshakesAtOnce: 4, HandshakeTurn: 5 * time.Millisecond,
		HandshakeTimeout: 30 * time.Second, HandshakeRush: 5 * time.Second, ProxyTimeout: 5 * time.Second,
	}
}

// ForOurs returns the share of a door behind which people sign in: who only connects leaves
// room for those who did.
func (l Limits) ForOurs() Limits {
	l.Reserved = l.Connections / 8
	return l
}

// ForStrangers returns the share of a door for the world, which leaves room for our own people.
func (l Limits) ForStrangers() Limits {
	l.Connections -= l.Connections / 4
	return l
}

// Check names the first limit that is not positive: an unset limit is no limit.
func (l Limits) Check() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Connections", int64(l.Connections)}, {"ConnectionsPerNetwork", int64(l.ConnectionsPerNetwork)},
		{"Handshakes", int64(l.Handshakes)}, {"HandshakesAtOnce", int64(l.HandshakesAtOnce)}, {"HandshakeTurn", int64(l.HandshakeTurn)},
		{"HandshakeTimeout", int64(l.HandshakeTimeout)}, {"HandshakeRush", int64(l.HandshakeRush)}, {"ProxyTimeout", int64(l.ProxyTimeout)},
	} {
		if f.value <= 0 {
			return fmt.Errorf("door: limit %s is %d; it must be positive", f.name, f.value)
		}
	}
	if l.Reserved < 0 {
		return errors.New("door: a limit is negative")
	}
	return nil
}

// crowd returns the bounds of the places.
func (l *Limits) crowd() screen.CrowdLimits {
	return screen.CrowdLimits{Total: l.Connections, Reserved: l.Reserved, Network: l.ConnectionsPerNetwork}
}

// handshake says how long a handshake may take beside others.
func (l *Limits) handshake(others int) time.Duration {
	if others >= l.Handshakes/2 {
		return min(l.HandshakeRush, l.HandshakeTimeout)
	}
	return l.HandshakeTimeout
}
