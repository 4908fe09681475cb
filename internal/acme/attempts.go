package acme

import (
	"crypto/x509"
	"time"

	"sallyport/internal/mail"
)

// attempts is what former attempts leave behind. The zero value: there were none.
type attempts struct {
	failed int       // in a row
	next   time.Time // no attempt before
	rest   time.Time // no renewal before
}

// failedAt returns the state after another failure.
func (a attempts) failedAt(now time.Time, l Limits) attempts {
	a.failed++
	a.next = now.Add(l.pause(a.failed))
	return a
}

// obtainedAt returns the state after a success. Whatever times an authority gives: half
// of what a certificate has left passes before the next one, so that there is no rush.
func obtainedAt(now time.Time, leaf *x509.Certificate) attempts {
	return attempts{rest: now.Add(leaf.NotAfter.Sub(now) / 2)}
}

// due reports whether a certificate must be obtained now.
func (a attempts) due(h Held, directory string, names []mail.Domain, now time.Time) bool {
	if now.Before(a.next) {
		return false
	}
	return !h.serves(directory, names) || !now.Before(renewAt(h.Certificate.Leaf)) && !now.Before(a.rest)
}

// until is when something is to be done, as things are now.
func (a attempts) until(h Held, directory string, names []mail.Domain) time.Time {
	at := a.next
	if h.serves(directory, names) {
		for _, t := range []time.Time{renewAt(h.Certificate.Leaf), a.rest} {
			if at.Before(t) {
				at = t
			}
		}
	}
	return at
}

// renewAt is when a certificate is to be renewed: when a third of its time is left.
func renewAt(leaf *x509.Certificate) time.Time {
	return leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3)
}

// leastWait is the shortest pause before it is looked again what is to be done: a time that has
// passed already keeps no processor busy.
const leastWait = time.Second

// wait is how long until then: never no time at all, and never longer than a look allows.
func (l Limits) wait(until, now time.Time) time.Duration {
	return min(max(until.Sub(now), leastWait), l.Look)
}

// pause is how long to wait before another attempt, after so many failed ones in a row.
func (l Limits) pause(failed int) time.Duration {
	wait := l.FirstPause
	for range failed - 1 {
		if wait *= 2; wait >= l.MaxPause {
			return l.MaxPause
		}
	}
	return min(wait, l.MaxPause)
}
