package watch

import (
	"fmt"
	"testing"
	"time"

	"sallyport/internal/hijack"
)

// A clock that is set lets nobody new be written to, and ends no evidence: what counts is the time
// that passed.
func TestTheClockIsSet(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, by := range map[string]time.Duration{"a day ahead": 24 * time.Hour, "ten years ahead": 10 * year, "a day back": -24 * time.Hour, "ten years back": -10 * year} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			passed := w.time()
			w.o.Passed = func() time.Time { return passed }
			var to []string
			for n := range hijack.DefaultParams().Bounds.Burst + 1 {
				to = append(to, fmt.Sprintf("new%d@far.test", n))
			}
			id, _ := w.submit(to...)
			odds := func() float64 {
				a, err := w.enter(t.Context(), addr(t, "alice@local.test"))
				must(t, err)
				defer w.unpin(a)
				defer a.mu.Unlock()
				_, v := hijack.Advance(a.state, hijack.Waiting{At: passed}, w.priors(passed), hijack.DefaultParams())
				return v.Odds
			}
			before := odds()
			w.pass(by)
			if waits, _ := w.due(id, to...); waits != len(to) {
				t.Errorf("%d of %d wait", waits, len(to))
			}
			if now := odds(); now < before {
				t.Errorf("the evidence went from %g to %g", before, now)
			}
			passed = passed.Add(time.Hour)
			w.pass(time.Hour)
			if waits, _ := w.due(id, to...); waits > 0 {
				t.Errorf("an hour later %d wait", waits)
			}
		})
	}
}
