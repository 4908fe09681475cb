package acme

import (
	"crypto/x509"
	"time"

	"sallyport/internal/mail"
)

// Bounds of obtaining a certificate.
const (
	// FirstPause is how long after a failure the next attempt is made; the pause doubles
	// with each failure in a row, up to MaxPause.
	FirstPause = time.Minute
	MaxPause   = 12 * time.Hour
	// AttemptTime bounds one attempt.
	AttemptTime = 10 * time.Minute
	// Look is how often it is seen whether something is to be done: a clock may be set,
	// and a name may have been added.
	Look = time.Hour
)

// attempts is what former attempts leave behind. The zero value: there were none.
type attempts struct {
	failed int       // in a row
	next   time.Time // no attempt before
	rest   time.Time // no renewal before
}

// failedAt returns the state after another failure.
func (a attempts) failedAt(now time.Time) attempts {
	a.failed++
	a.next = now.Add(pause(a.failed))
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

// wait is how long nothing is to be done.
func (a attempts) wait(h Held, directory string, names []mail.Domain, now time.Time) time.Duration {
	at := a.next
	if h.serves(directory, names) {
		for _, t := range []time.Time{renewAt(h.Certificate.Leaf), a.rest} {
			if at.Before(t) {
				at = t
			}
		}
	}
	return min(max(at.Sub(now), time.Second), Look)
}

// renewAt is when a certificate is to be renewed: when a third of its time is left.
func renewAt(leaf *x509.Certificate) time.Time {
	return leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3)
}

// pause is how long to wait before another attempt, after so many failed ones in a row.
func pause(failed int) time.Duration {
	wait := FirstPause
	for range failed - 1 {
		if wait *= 2; wait >= MaxPause {
			return MaxPause
		}
	}
	return wait
}
