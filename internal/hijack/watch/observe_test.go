package watch

import (
	"fmt"
	"testing"
	"time"

	"sallyport/internal/hijack"
)

// writes has alice write to so many strangers, one a second, with a credential, and says how many were taken.
func (w *world) writes(n int) (taken int) {
	for range n {
		if w.with(app("stolen"), fmt.Sprintf("v%d@remote%d.test", w.ids, w.ids)) {
			return taken
		}
		taken++
		w.pass(time.Second)
	}
	return taken
}

// What was told while accounts were only observed contains nobody on the day on which they are not any more: a person
// has read it, and there was no incident that could be ended as a false alarm. A thief is told of anew, and contained as ever.
func TestWhatWasObservedContainsNobodyLater(t *testing.T) {
	most := strangers(t)
	alice := addr(t, "alice@local.test")
	observe := func(s *Settings) { s.Mode = hijack.Observe }
	for _, crash := range []bool{false, true} {
		w := newWorld(t, observe)
		w.writes(most)
		if len(w.told) != 1 {
			t.Fatalf("told %v", w.told)
		}
		if n := w.given(alice.String()); n != 0 {
			t.Errorf("%d credentials are noted as if there were evidence", n)
		}
		if crash {
			w.open(observe)
		}
		s := w.Settings()
		s.Mode = hijack.Enforce
		w.Adjust(s)
		w.SignedIn(t.Context(), Act{Account: alice, Network: "192.0.2.0/24", Program: "mua"})
		if w.with(app("desk"), "another@far.test") || len(w.found) != 0 {
			t.Errorf("crash %v: contained by what was only observed: %+v", crash, w.found)
		}
		if taken := w.writes(most); len(w.found) != 1 {
			t.Errorf("crash %v: %d messages of a thief are taken, and %d contain an account", crash, taken, most)
		}
	}
	w := newWorld(t, observe)
	w.writes(most)
	w.pass(observeEvery)
	if w.writes(most); len(w.told) != 2 {
		t.Errorf("a thief who goes on is told of %d times", len(w.told))
	}
}
