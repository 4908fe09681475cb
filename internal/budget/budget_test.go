package budget_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/budget"
)

var noon = time.Date(2026, 11, 28, 12, 2, 30, 0, time.UTC)

// Every small combination of what was counted an hour and a day ago, what is under way,
// what is asked for, and both limits: no sum beyond a limit is let through, none within
// both is refused, and each answer names its rule and its figures.
func TestDecideExhaustively(t *testing.T) {
	const most = 4
	rules := map[budget.Rule]int{}
	each := func(fn func(old, fresh, underWay, n int, l budget.Limits)) {
		for i := range int(math.Pow(most, 6)) {
			d := [6]int{}
			for k := range d {
				d[k], i = i%most, i/most
			}
			fn(d[0], d[1], d[2], d[3], budget.Limits{Hour: d[4], Day: d[5]})
		}
	}
	each(func(old, fresh, underWay, n int, l budget.Limits) {
		c := budget.Count{}.Add(noon.Add(-3*time.Hour), old).Add(noon, fresh)
		v := budget.Decide(c, underWay, n, noon, l)
		hour, day := fresh+underWay, old+fresh+underWay
		fits := n == 0 || hour+n <= l.Hour && day+n <= l.Day
		rules[v.Rule]++
		if v.OK != fits {
			t.Fatalf("old %d, fresh %d, under way %d, %d more of %+v: %+v", old, fresh, underWay, n, l, v)
		}
		switch v.Rule {
		case budget.RuleHour:
			fits = v.Used == hour && v.Most == l.Hour
		case budget.RuleDay:
			fits = v.Used == day && v.Most == l.Day
		case budget.RuleWithin:
			fits = v.OK
		default:
			fits = false
		}
		if !fits {
			t.Fatalf("old %d, fresh %d, under way %d, %d more of %+v: %+v", old, fresh, underWay, n, l, v)
		}
	})
	if len(rules) != 3 {
		t.Errorf("rules that spoke: %v", rules)
	}
}

// What makes no sense lets nobody through.
func TestNonsenseRefuses(t *testing.T) {
	for name, v := range map[string]budget.Verdict{
		"the zero verdict": {},
		"no limits":        budget.Decide(budget.Count{}, 0, 1, noon, budget.Limits{}),
		"less than none":   budget.Decide(budget.Count{}, 0, -1, noon, budget.Limits{Hour: 9, Day: 9}),
		"negative use":     budget.Decide(budget.Count{}, -9, 1, noon, budget.Limits{Hour: 9, Day: 9}),
		"negative limits":  budget.Decide(budget.Count{}, 0, 1, noon, budget.Limits{Hour: -9, Day: -9}),
		"more than counts": budget.Decide(budget.Count{}.Add(noon, math.MaxInt64).Add(noon, math.MaxInt64),
			math.MaxInt, math.MaxInt, noon, budget.Limits{Hour: math.MaxInt, Day: math.MaxInt}),
	} {
		if v.OK {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// Whatever is asked for and whenever, by a clock that goes on, no hour and no day holds
// more than its limit, and who is refused gets it when the verdict said.
func TestNoWindowHoldsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := budget.Limits{Hour: rapid.IntRange(1, 30).Draw(t, "hour"), Day: rapid.IntRange(1, 90).Draw(t, "day")}
		type sent struct {
			at time.Time
			n  int
		}
		var all []sent
		var c budget.Count
		now := noon
		within := func(d time.Duration) (n int) {
			for _, s := range all {
				if now.Sub(s.at) < d {
					n += s.n
				}
			}
			return n
		}
		for range rapid.IntRange(1, 120).Draw(t, "asks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 5400).Draw(t, "seconds")) * time.Second)
			n := rapid.IntRange(1, 20).Draw(t, "n")
			v := budget.Decide(c, 0, n, now, l)
			if v.OK {
				c = c.Add(now, n)
				all = append(all, sent{now, n})
			}
			if h, d := within(time.Hour), within(24*time.Hour); h > l.Hour || d > l.Day {
				t.Fatalf("%d within an hour and %d within a day of %+v", h, d, l)
			}
			if v.OK || v.Again.IsZero() {
				if !v.OK && n <= l.Hour && n <= l.Day {
					t.Fatalf("refused for ever: %+v", v)
				}
				continue
			}
			if again := budget.Decide(c, 0, n, v.Again, l); !again.OK && again.Rule == v.Rule {
				t.Fatalf("told to come again at %s, and refused by the same rule: %+v", v.Again, again)
			}
			if early := budget.Decide(c, 0, n, v.Again.Add(-time.Second), l); early.OK || !v.Again.After(now) {
				t.Fatalf("it would have fitted before %s: %+v", v.Again, early)
			}
			if v.Again.Sub(now) > 25*time.Hour {
				t.Fatalf("%s is too long a wait", v.Again.Sub(now))
			}
		}
	})
}

// A clock that is set back, by however much and however often, gives nothing anew: what
// was let through within the last hour of time that really passed never is more than the
// limit. And when it goes on, all is forgotten a day and a slot later.
func TestClockSetBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := budget.Limits{Hour: 20, Day: 50}
		var c budget.Count
		var really time.Duration // time that passed
		clock := noon
		var at []time.Duration
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			if rapid.IntRange(0, 4).Draw(t, "back") == 0 {
				clock = clock.Add(-time.Duration(rapid.IntRange(0, 200_000).Draw(t, "seconds back")) * time.Second)
			}
			passed := time.Duration(rapid.IntRange(0, 3000).Draw(t, "seconds")) * time.Second
			really, clock = really+passed, clock.Add(passed)
			c = c.At(clock)
			if budget.Decide(c, 0, 1, clock, l).OK {
				c, at = c.Add(clock, 1), append(at, really)
			}
			hour, day := 0, 0
			for _, a := range at {
				if really-a < time.Hour {
					hour++
				}
				if really-a < 24*time.Hour {
					day++
				}
			}
			if hour > l.Hour || day > l.Day {
				t.Fatalf("%d within an hour, %d within a day", hour, day)
			}
		}
		c = c.At(clock)
		if later := clock.Add(25 * time.Hour); !c.Idle(later) {
			t.Fatalf("a day later it still counts %+v", c.Used(later))
		}
	})
}

// N09: a clock that is ahead for a while leaves nobody without a limit, and nobody without what he
// may have: what was counted meanwhile counts when it is right again, and no longer than it would have.
func TestClockAheadForAWhile(t *testing.T) {
	l := budget.Limits{Hour: 20, Day: 30}
	for _, ahead := range []time.Duration{time.Hour, 24 * time.Hour, 400 * 24 * time.Hour} { // daylight saving, a day, a year
		c := budget.Count{}.Add(noon.Add(ahead), 20)
		if v := budget.Decide(c, 0, 1, noon.Add(ahead), l); v.OK {
			t.Errorf("%v ahead: %+v", ahead, v)
		}
		c = c.At(noon) // the clock is right again
		if v := budget.Decide(c, 0, 1, noon, l); v.OK {
			t.Errorf("%v ahead, and set right: %+v", ahead, v)
		}
		if v := budget.Decide(c, 0, 10, noon.Add(2*time.Hour), l); !v.OK {
			t.Errorf("%v ahead, two hours after it was set right: %+v", ahead, v)
		}
		if v := budget.Decide(c, 0, 20, noon.Add(26*time.Hour), l); !v.OK {
			t.Errorf("%v ahead, a day after it was set right: %+v", ahead, v)
		}
	}
}

// What is stored reads as what was written, and nothing else reads.
func TestEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c budget.Count
		now := noon
		for range rapid.IntRange(0, 40).Draw(t, "adds") {
			now = now.Add(time.Duration(rapid.IntRange(-3600, 7200).Draw(t, "seconds")) * time.Second)
			c = c.Add(now, rapid.IntRange(0, 1<<20).Draw(t, "n"))
		}
		b := c.Encode()
		got, err := budget.Decode(b)
		if err != nil || got != c {
			t.Fatalf("%v, %+v of %+v", err, got, c)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, err := budget.Decode(b[:cut]); err == nil {
			t.Fatalf("%d of %d octets read", cut, len(b))
		}
		if _, err := budget.Decode(append(b, 0)); err == nil {
			t.Fatal("an octet too many read")
		}
	})
}

func TestLimitsOr(t *testing.T) {
	standard := budget.Limits{Hour: 300, Day: 1000}
	for _, c := range []struct{ own, want budget.Limits }{
		{budget.Limits{}, standard},
		{budget.Limits{Hour: 5}, budget.Limits{Hour: 5, Day: 1000}},
		{budget.Limits{Day: 5}, budget.Limits{Hour: 300, Day: 5}},
		{budget.Limits{Hour: 7, Day: 9}, budget.Limits{Hour: 7, Day: 9}},
	} {
		if got := c.own.Or(standard); got != c.want {
			t.Errorf("%+v: %+v", c.own, got)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	var c budget.Count
	l := budget.Limits{Hour: math.MaxInt32, Day: math.MaxInt32}
	for range 300 {
		c = c.Add(noon, 1)
	}
	for b.Loop() {
		if !budget.Decide(c, 3, 1, noon, l).OK {
			b.Fatal("refused")
		}
	}
}
