package server

import (
	"net/netip"
	"time"

	"sallyport/internal/kit/lru"
)

const (
	// GreetTrust is how long the greeting of an address that had a message taken comes at
	// once. A server that sends us mail every hour waits once.
	GreetTrust = time.Hour
	// GreetTrusted is how many such addresses are remembered; those that came longest ago
	// are forgotten first.
	GreetTrusted = 16_384
)

// waited remembers which addresses need not wait for the greeting (Limits.GreetDelay): those
// of which a message was taken. What the silence finds out, that a client listens before
// it speaks, they have shown. There is one rule for every address, this host's own too.
type waited struct {
	addresses *lru.Cache[netip.Addr, time.Time]
}

func newWaited() waited {
	return waited{lru.New[netip.Addr, time.Time](lru.Bounds{Entries: GreetTrusted}, nil)}
}

// earns notes that a message of an address was taken now.
func (w waited) earns(a netip.Addr, now time.Time) {
	if a.IsValid() {
		w.addresses.Put(a, now)
	}
}

// loses takes the record from an address whose connection ended for what it did.
func (w waited) loses(a netip.Addr, end string) {
	if misbehaved(end) {
		w.addresses.Drop(a)
	}
}

// misbehaved reports whether a connection ended for what its client did.
func misbehaved(end string) bool {
	switch end {
	case EndSmuggling, EndEarlyTalker, EndInjection, EndNotSMTP, EndErrors, EndJunk, EndUnknown, EndAuthFailures:
		return true
	}
	return false
}

// trusts reports whether an address is greeted at once. A clock that was set back makes
// nobody wait longer, and nobody trusted longer.
func (w waited) trusts(a netip.Addr, now time.Time) bool {
	since, ok := w.addresses.Get(a)
	age := now.Sub(since)
	return ok && age >= 0 && age < GreetTrust
}
