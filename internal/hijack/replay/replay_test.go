package replay

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/hijack"
)

func TestRead(t *testing.T) {
	got, err := Read(strings.NewReader("# words\nb a 20\na b 10\na c 10\n\na d 10.5\n"))
	if err != nil || len(got) != 3 || got[0].From != "a" || !slices.Equal(got[0].To, []string{"b", "c"}) || got[1].At.Sub(got[0].At) != 500*time.Millisecond || got[2].From != "b" {
		t.Errorf("%v, %+v", err, got)
	}
	for _, line := range []string{"a b", "a b c", "a b -1", "a b 1 2", "a b 1e99", "a b NaN"} {
		if _, err := Read(strings.NewReader("x y 1\n" + line + "\n")); !errors.Is(err, ErrLog) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// The exact intervals of Garwood, from tables.
func TestPoisson(t *testing.T) {
	for n, want := range map[int][2]float64{0: {0, 3.689}, 1: {0.0253, 5.572}, 2: {0.242, 7.225}, 10: {4.795, 18.390}, 100: {81.36, 121.63}} {
		low, high := poisson(n)
		if math.Abs(low-want[0]) > 0.01 || math.Abs(high-want[1]) > 0.01 {
			t.Errorf("%d: %.3f to %.3f, want %v", n, low, high, want)
		}
	}
}

// What fixed limits let through: nothing beyond them, and all that stays below.
func TestFixedLimits(t *testing.T) {
	v := &victim{made: new(uint64)}
	for name, c := range map[string]struct {
		steps func(v *victim) []int
		want  []int
	}{
		"a blast":       {func(v *victim) []int { return fixed(blast(45_000, 1)(v)) }, []int{500, 1000}},
		"in large ones": {func(v *victim) []int { return fixed(blast(90, 500)(v)) }, []int{500, 1000}},
		"a drip":        {func(v *victim) []int { return fixed(drip(100, time.Hour)(v)) }, []int{100, 100}},
		"by the day":    {func(v *victim) []int { return fixed(drip(45_000, 10*time.Second)(v)) }, []int{2000, 5000}},
	} {
		if got := c.steps(v); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// made is a small site with a history.
func made() []Message { return Made{People: 60, Days: 60, Seed: 3}.Make() }

// The same log and seed give the same figures, whatever order maps have.
func TestDeterministic(t *testing.T) {
	log := Made{People: 25, Days: 30, Seed: 3}.Make()
	again := Made{People: 25, Days: 30, Seed: 3}.Make()
	figures := func(log []Message) string {
		r := Run(log, Options{Params: hijack.DefaultParams(), Seed: 5, Victims: 2, Waves: 2})
		r.Elapsed, r.Honest.NanosPerRecipient, r.Honest.Heap = 0, 0, 0
		var b strings.Builder
		if err := r.Print(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if a, b := figures(log), figures(again); a != b {
		t.Errorf("the same seed gave\n%s\nand\n%s", a, b)
	}
}

// What the documents claim holds on a made-up site: medians over accounts.
func TestClaims(t *testing.T) {
	r := Run(made(), Options{Params: hijack.DefaultParams(), Seed: 1, Victims: 4, Waves: 3})
	bucket := r.Params.Bounds.Burst
	handed := map[string]int{
		"blast-1": 3, "blast-50": bucket, "blast-500": bucket, "20-an-hour": 5, "2-an-hour": 5, "1-a-day": 8, "500-networks": 3,
		"interleaved-1": 10, "interleaved-3": 12, "word-list": 3, "word-list-20": bucket, "colleagues": bucket + 10, "seeding": 8, "restarts": 3, "clock-jumps": 8, "sessions": 3,
	}
	seen := map[string]bool{}
	for _, c := range r.Thefts {
		seen[c.Scenario] = true
		most, claimed := handed[c.Scenario]
		if claimed && (c.Handed.Median > most || c.Missed*2 > c.Accounts) {
			t.Errorf("%s %s: %+v handed over, %d of %d missed", c.Class, c.Scenario, c.Handed, c.Missed, c.Accounts)
		}
		if strings.HasSuffix(c.Scenario, "-an-hour-at-work") && (c.Missed > 0 || c.New.Median > 15 || c.New.Max > 20) {
			t.Errorf("%s %s: %+v strangers, %d of %d missed", c.Class, c.Scenario, c.New, c.Missed, c.Accounts)
		}
		switch c.Scenario {
		case "blast-1", "blast-50", "blast-500", "restarts", "sessions":
			if c.WithWindow.Max != 0 {
				t.Errorf("%s %s: %+v in spite of the window", c.Class, c.Scenario, c.WithWindow)
			}
			if c.New.Max > bucket {
				t.Errorf("%s %s: %+v beyond the bucket", c.Class, c.Scenario, c.New)
			}
		}
	}
	if len(seen) != len(scenarios()) {
		t.Errorf("%d of %d scenarios were run", len(seen), len(scenarios()))
	}
	h := r.Honest
	if h.Messages < 5000 || h.PerMillion > 3*h.Promised || len(h.Contained) > 2 || h.Delayed*200 > h.Messages || h.Heap > 1024 {
		t.Errorf("honest people: %+v", h)
	}
	if len(r.Crowds) == 0 || r.Crowds[0].Paused*4 > r.Crowds[0].Alone {
		t.Errorf("crowds: %+v", r.Crowds)
	}
}

// Made-up people are like those of real logs.
func TestMadeUpPeople(t *testing.T) {
	r := Run(Made{People: 200, Days: 60, Seed: 1}.Make(), Options{Params: hijack.DefaultParams()})
	s, h := r.Honest.Shape, r.Honest
	if s.PerMessage[0] != 1 || s.PerMessage[1] < 2 || s.PerMessage[1] > 4 || s.PerMessage[2] < 7 || s.PerMessage[2] > 31 || s.PerMessage[3] < 37 {
		t.Errorf("recipients a message: %v", s.PerMessage)
	}
	if n := 100 * float64(h.NewToAccount+h.NewToSite) / float64(h.Deliveries); n < 7 || n > 19 {
		t.Errorf("%.1f %% are new to the account", n)
	}
	if n := 100 * float64(h.NewToSite) / float64(h.Deliveries); n < 2 || n > 5 {
		t.Errorf("%.1f %% are new to the site", n)
	}
}

// Recipients for whom the bucket has no room leave later, in their order, and all of them.
func TestWhoWaitsLeaves(t *testing.T) {
	s := newServer(hijack.DefaultParams())
	a := s.account("a")
	var names []string
	for i := range 50 {
		names = append(names, "new"+string(rune('a'+i)))
	}
	at := epoch(time.Hour)
	r := s.submit(a, s.book, s.people(names), 0, at, s.site.Priors(s.params))
	if r.now != 30 || len(a.waiting) != 1 || a.waiting[0].n != 20 {
		t.Fatalf("%+v, %+v", r, a.waiting)
	}
	var h Honest
	s.drain(a, at.Add(90*time.Minute), s.site.Priors(s.params), h.left)
	if a.waiting[0].n < 5 || len(h.waits) != 0 {
		t.Errorf("an hour and a half later: %+v", a.waiting)
	}
	s.drain(a, at.Add(3*time.Hour), s.site.Priors(s.params), h.left)
	if len(a.waiting) != 0 || len(h.waits) != 1 || h.waits[0] < 7000 || h.waits[0] > 8000 {
		t.Errorf("three hours later: %+v, %v", a.waiting, h.waits)
	}
}

// Whoever wrote first with proof is known to the account, and is no stranger.
func TestWhoWroteFirstIsKnown(t *testing.T) {
	s := newServer(hijack.DefaultParams())
	var h Honest
	s.one(Message{At: epoch(time.Hour), From: "customer", To: []string{"desk"}, In: true}, &h)
	s.one(Message{At: epoch(2 * time.Hour), From: "desk", To: []string{"customer"}}, &h)
	if h.NewToSite != 0 || h.NewToAccount != 0 || h.Held != 0 {
		t.Errorf("%+v", h)
	}
	s.one(Message{At: epoch(3 * time.Hour), From: "desk", To: []string{"other"}}, &h)
	if h.NewToSite != 1 || h.Held != 1 {
		t.Errorf("%+v", h)
	}
}
