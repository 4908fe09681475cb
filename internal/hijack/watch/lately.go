package watch

import (
	"time"

	"sallyport/internal/hijack"
)

// mostLately is how many authors an account remembers of whom nothing more is to be written now, and latelyFor for
// how long: somebody who writes often, such as a list, is not looked for in the store at each message.
const (
	mostLately = 8
	latelyFor  = time.Hour
)

// lately are the authors who wrote to an account lately and are known to it, or were heard, in the store. It must be
// emptied where those records are removed. The zero value holds nobody.
type lately struct {
	last [mostLately]latelyAuthor
	next int
}

type latelyAuthor struct {
	who hijack.Fingerprint
	at  time.Time
}

// holds reports whether an author was found lately; age is how long ago a moment is.
func (s *lately) holds(who hijack.Fingerprint, age func(time.Time) time.Duration) bool {
	for _, a := range s.last {
		if a.who == who && who != 0 {
			since := age(a.at)
			return since >= 0 && since < latelyFor
		}
	}
	return false
}

// add takes an author among them, in the place of the one who stands there longest.
func (s *lately) add(who hijack.Fingerprint, at time.Time) {
	for i := range s.last {
		if s.last[i].who == who {
			s.last[i].at = at
			return
		}
	}
	s.last[s.next] = latelyAuthor{who, at}
	s.next = (s.next + 1) % len(s.last)
}
