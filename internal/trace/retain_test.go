package trace

import (
	"testing"
	"time"

	"sallyport/internal/fact"
)

// Facts are forgotten when they are as old as the time that passed, whatever the clock says; and one of a time that the clock
// has not shown, as far as is known, keeps none behind it from being forgotten.
func TestFactsAreForgottenByTheTimeThatPassed(t *testing.T) {
	const years = 10 * 365 * 24 * time.Hour
	h := newHouse(t)
	var age func(at time.Time) time.Duration
	h.o.Age = func(at time.Time) time.Duration { return age(at) }
	h.o.Limits.Keep, h.o.Limits.StrangersKeep = 100*time.Hour, 10*time.Hour
	l := h.open()
	message := func(n int) {
		h.deliver(l, n, "bob@remote.test")
		l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse, Peer: testPeer(), Recipient: "x@y.test"})
		sync1(t, l)
	}
	kept := func(when string, oldest uint64, strangers int64) {
		t.Helper()
		retain(t, l)
		sync1(t, l)
		if s := l.Stats(); s.Oldest != oldest || s.Strangers != strangers {
			t.Errorf("%s: the oldest is %d, and %d bodies of strangers are kept; want %d and %d", when, s.Oldest, s.Strangers, oldest, strangers)
		}
		if r := h.verify(l); !r.OK() {
			t.Errorf("%s: %q", when, r.Faults)
		}
	}
	message(1) // facts 1 to 6
	begin := h.clock.now()
	h.clock.add(years)
	age = func(time.Time) time.Duration { return time.Hour }
	kept("set ahead by ten years", 1, 1)
	age = func(time.Time) time.Duration { return 11 * time.Hour }
	kept("eleven hours later", 1, 0) // fact 7 says so, by the clock that is ahead
	h.clock.add(-2 * years)
	message(2) // 8 to 13
	second := h.clock.now()
	h.clock.add(time.Hour)
	age = func(at time.Time) time.Duration {
		switch {
		case at.Equal(begin):
			return 101 * time.Hour
		case at.After(begin): // nobody knows any more that the clock was ahead
			return 0
		}
		return time.Hour
	}
	kept("set back by twenty", 7, 1) // 14 says so
	age = func(at time.Time) time.Duration {
		switch {
		case at.After(begin):
			return 0
		case at.After(second):
			return time.Hour
		}
		return 101 * time.Hour
	}
	kept("a hundred hours after that", 14, 0)
}
