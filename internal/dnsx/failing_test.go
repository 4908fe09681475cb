package dnsx

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// silence is what a zone does that does not answer: nothing, or as the recursive server
// says it.
var silence = map[string]func(q *dns.Msg) [][]byte{
	"SERVFAIL": func(q *dns.Msg) [][]byte { return one(withCode(reply(q), dns.RcodeServerFailure)) },
	"silence":  func(*dns.Msg) [][]byte { return nil },
}

// A zone that does not answer is asked a few questions, whatever names are made up in it,
// and then none for a while that doubles up to the longest; its neighbours are asked all
// the time. When it answers again, it is asked as before. RFC 9520 §3.2.
func TestADeadZoneIsLeftAlone(t *testing.T) {
	for how, silent := range silence {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			var alive atomic.Bool
			s := serve(t, func(_ string, q *dns.Msg) [][]byte {
				if n := q.Question[0].Name; !alive.Load() && (n == "dead.co.test." || strings.HasSuffix(n, ".dead.co.test.")) {
					return silent(q)
				}
				return one(reply(q, q.Question[0].Name+" 60 MX 1 mx.x.test."))
			})
			l := quick()
			l.Query, l.Rounds = 100*time.Millisecond, 1
			c := client(t, l, s)
			now, clock := time.Now(), time.Now()
			c.o.Now = func() time.Time { return now.Add(time.Since(clock)) }
			if _, err := c.MX(t.Context(), name(t, "before.test")); err != nil {
				t.Fatal(err) // so that the server is known to live
			}
			n := 0
			asked := func() (questions int) {
				before := s.Below("dead.co.test")
				for range 10 {
					n++
					if _, err := c.MX(t.Context(), name(t, fmt.Sprintf("h%d.dead.co.test", n))); !alive.Load() && (err == nil || Permanent(err)) {
						t.Fatalf("a dead zone says %v", err)
					}
					if a, err := c.MX(t.Context(), name(t, fmt.Sprintf("h%d.live.co.test", n))); words(a, err) != "mx.x.test" {
						t.Fatalf("a neighbour: %s", words(a, err))
					}
					c.busy() // what is asked of the zone itself is answered
				}
				return s.Below("dead.co.test") - before
			}
			if got := asked(); got > l.ZoneFailures+1 {
				t.Errorf("%d questions to a dead zone", got)
			}
			if got := asked(); got != 0 {
				t.Errorf("%d more", got)
			}
			for i, rest := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300} {
				now = now.Add(rest*time.Second - 2*time.Second)
				if got := asked(); got != 0 {
					t.Errorf("%d questions within rest %d", got, i)
				}
				now = now.Add(2 * time.Second)
				if got := asked(); got != 1 {
					t.Errorf("%d questions after rest %d", got, i)
				}
			}
			alive.Store(true)
			now = now.Add(300 * time.Second)
			if got := asked(); got != 10 || len(c.failing.known) > 100 {
				t.Errorf("%d questions when it answers again", got)
			}
		})
	}
}

// Names of a hundred labels cost no question for each of the hundred zones that they may lie in,
// however many of them fail and whoever asks at the same time.
func TestDeepNamesCostFewQuestions(t *testing.T) {
	s := serve(t, func(_ string, q *dns.Msg) [][]byte {
		if n := q.Question[0].Name; strings.HasSuffix(n, ".dead.test.") || strings.HasSuffix(n, ".gone.test.") {
			return one(withCode(reply(q), dns.RcodeServerFailure))
		}
		return one(reply(q, q.Question[0].Name+" 60 MX 1 mx.x.test."))
	})
	l := quick()
	l.Rounds = 1
	c := client(t, l, s)
	if _, err := c.MX(t.Context(), name(t, "before.test")); err != nil {
		t.Fatal(err) // so that the server is known to live
	}
	for i := range l.ZoneFailures {
		_, _ = c.MX(t.Context(), name(t, fmt.Sprintf("h%d.%sgone.test", i, strings.Repeat("a.", 110))))
		c.busy()
	}
	if got := s.Below("gone.test"); got > l.ZoneFailures+l.Suspects {
		t.Errorf("%d questions for %d names of a dead zone", got, l.ZoneFailures)
	}
	deep := func(i int) Name { return name(t, fmt.Sprintf("h%d.%sdead.test", i, strings.Repeat("a.", 110))) }
	var together sync.WaitGroup
	for i := range 8 {
		together.Go(func() {
			if _, err := c.MX(t.Context(), deep(i)); err == nil || Permanent(err) {
				t.Errorf("a dead zone says %v", err)
			}
		})
	}
	together.Wait()
	c.busy() // what is asked of the zones themselves is answered
	for i := range 20 {
		_, _ = c.MX(t.Context(), deep(100+i))
		c.busy()
	}
	// The first eight, and each zone of a few labels once.
	if got := s.Below("dead.test"); got > 8+mostZoneLabels {
		t.Errorf("%d questions for 28 names of a dead zone", got)
	}
	if got := len(c.failing.known); got > 31+2*mostZoneLabels {
		t.Errorf("%d names are remembered for 28", got)
	}
	if got := len(zones(name(t, "a.b.c.test"))); got != 3 {
		t.Errorf("%d zones of a short name", got)
	}
}

// Names that failed so often that they count as dead themselves get no chance of their own beside
// that of the zone above them.
func TestADeadZoneGetsOneChance(t *testing.T) {
	f := newFailing(DefaultLimits())
	now := time.Now()
	names := []Name{{"_dmarc.dead.test"}, {"_mta-sts.dead.test"}, {"dead.test"}}
	chances := func() (n int) {
		for _, one := range names {
			if _, dead := f.dead(one, now); !dead {
				n++
			}
		}
		return n
	}
	for i, one := range names {
		for range 3 - i { // each rests for another time
			f.bury(question{name: one}, now)
		}
	}
	for i := range 8 {
		if got := chances(); got != 0 {
			t.Errorf("round %d: %d questions within the rest", i, got)
		}
		now = now.Add(DefaultLimits().FailureMax)
		if got := chances(); got != 1 {
			t.Errorf("round %d: %d questions after it", i, got)
		}
		f.blame(names[i%len(names)], now) // it did not answer
	}
	if _, dead := f.dead(Name{"live.test"}, now); dead {
		t.Error("a neighbour is dead")
	}
}

// While the server that we ask says nothing at all, no zone is to blame, and no rest
// becomes longer.
func TestASilentServerIsNoDeadZone(t *testing.T) {
	var alive atomic.Bool
	s := serve(t, func(_ string, q *dns.Msg) [][]byte {
		if !alive.Load() {
			return nil
		}
		return one(reply(q, q.Question[0].Name+" 60 MX 1 mx.x.test."))
	})
	l := quick()
	l.Query, l.Rounds = 50*time.Millisecond, 1
	c := client(t, l, s)
	now := time.Now()
	c.o.Now = func() time.Time { return now }
	for i := range 6 {
		if _, err := c.MX(t.Context(), name(t, fmt.Sprintf("h%d.x.test", i))); !errors.Is(err, ErrTimeout) {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
	}
	alive.Store(true)
	now = now.Add(l.FailureTTL)
	for i := range 6 {
		if a, err := c.MX(t.Context(), name(t, fmt.Sprintf("h%d.x.test", i))); words(a, err) != "mx.x.test" {
			t.Error(words(a, err))
		}
	}
}

// One question that fails again and again is asked more and more seldom, and the other
// questions about its name as ever; what is remembered is bounded.
func TestFailuresInARowRestLonger(t *testing.T) {
	l := DefaultLimits()
	l.Failing = 50
	f := newFailing(l)
	q := question{Name{"x.test"}, dns.TypeTXT}
	now := time.Now()
	for i, want := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300} {
		if got := f.rest(q, now); got != want*time.Second {
			t.Errorf("rest %d is %v, want %d s", i, got, want)
		}
		now = now.Add(want * time.Second)
	}
	if got := f.rest(question{q.name, dns.TypeA}, now); got != l.FailureTTL {
		t.Errorf("another question rests %v", got)
	}
	now = now.Add(2 * l.FailureMax)
	if got := f.rest(q, now); got != l.FailureTTL {
		t.Errorf("long after, it rests %v", got)
	}
	for i := range 1000 {
		f.blame(Name{fmt.Sprintf("a.b%d.test", i)}, now)
	}
	if len(f.known) != l.Failing || f.order.Len() != l.Failing {
		t.Errorf("%d and %d are remembered", len(f.known), f.order.Len())
	}
}
