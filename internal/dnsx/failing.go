package dnsx

import (
	"container/list"
	"strings"
	"time"
)

// failing remembers who did not answer and how often, so that it is asked again later
// and later. RFC 9520 §3.2. A question without a type stands for a whole zone. The
// caller keeps it to itself with a lock.
type failing struct {
	limits Limits
	order  *list.List // of *lapse; the one used last in front
	known  map[question]*list.Element
}

type lapse struct {
	of    question
	times int // one after the other
	rests int // in a row, each twice as long as the one before
	until time.Time
	dead  bool // a zone that is not asked until then
}

func newFailing(l Limits) *failing {
	return &failing{limits: l, order: list.New(), known: map[question]*list.Element{}}
}

// of returns what is remembered, and makes it where nothing is; the least used is
// forgotten for it.
func (f *failing) of(q question) *lapse {
	if e, ok := f.known[q]; ok {
		f.order.MoveToFront(e)
		r, _ := e.Value.(*lapse)
		return r
	}
	r := &lapse{of: q}
	f.known[q] = f.order.PushFront(r)
	if f.order.Len() > f.limits.Failing {
		f.drop(f.order.Back())
	}
	return r
}

func (f *failing) drop(e *list.Element) {
	r, _ := f.order.Remove(e).(*lapse)
	delete(f.known, r.of)
}

func (f *failing) forget(q question) {
	if e, ok := f.known[q]; ok {
		f.drop(e)
	}
}

// rest notes one more failure and returns for how long nobody is asked: twice as long
// each time, up to FailureMax. What failed long ago is a new failure.
func (f *failing) rest(q question, now time.Time) time.Duration {
	r := f.of(q)
	if now.Sub(r.until) > f.limits.FailureMax {
		r.rests = 0
	}
	d := f.limits.FailureTTL
	for range r.rests {
		d = min(2*d, f.limits.FailureMax)
	}
	r.rests++
	r.until = now.Add(d)
	return d
}

// mostZoneLabels is how many labels a zone has at most that is looked at by itself: those of the
// network of one customer in the reverse DNS of IPv6 have eighteen (RFC 3596 §2.5, RFC 6177 §2).
// Names of a hundred labels cost no more than that.
const mostZoneLabels = 20

// zones are the names above and including n that may be a zone of somebody's: those of
// two labels and more, the longest first.
func zones(n Name) (all []question) {
	text := n.text
	for range strings.Count(text, ".") + 1 - mostZoneLabels {
		_, text, _ = strings.Cut(text, ".")
	}
	for strings.Contains(text, ".") {
		all = append(all, question{name: Name{text}})
		_, text, _ = strings.Cut(text, ".")
	}
	return all
}

// blame notes that a name did not answer, and returns the zones above it of which as
// many names failed, one after the other, as are needed to ask for the zone itself: the
// longest of them, a few at a time, each of which somebody else asks for at the same time
// no more. Those above them come when the next name fails.
func (f *failing) blame(n Name, now time.Time) (suspects []question) {
	for _, z := range zones(n) {
		r := f.of(z)
		if r.dead {
			f.rest(z, now) // it was given a chance
			continue
		}
		if r.times++; r.times >= f.limits.ZoneFailures && !now.Before(r.until) && len(suspects) < f.limits.Suspects {
			suspects = append(suspects, z)
			r.until = now.Add(f.limits.Total)
		}
	}
	return suspects
}

// heal forgets what was held against the zones of a name that did answer.
func (f *failing) heal(n Name) {
	if len(f.known) == 0 {
		return
	}
	for _, z := range zones(n) {
		f.forget(z)
	}
}

// bury lets a zone rest that does not answer for itself.
func (f *failing) bury(z question, now time.Time) {
	f.rest(z, now)
	f.of(z).dead = true
}

// dead returns the zone of a name that is not asked now. When its rest is over, and that of each
// zone above it, one question is let through, and the others follow when it was answered.
func (f *failing) dead(n Name, now time.Time) (question, bool) {
	if len(f.known) == 0 {
		return question{}, false
	}
	var rested []*lapse
	for _, z := range zones(n) {
		e, ok := f.known[z]
		if !ok {
			continue
		}
		r, _ := e.Value.(*lapse)
		switch {
		case r.dead && now.Before(r.until):
			return z, true
		case r.dead:
			rested = append(rested, r)
		}
	}
	for _, r := range rested {
		r.until = now.Add(f.limits.Total)
	}
	return question{}, false
}
