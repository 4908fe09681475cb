package sched

import (
	"errors"
	"math"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// Every bound of a policy, on both of its sides.
func TestPoliciesAtTheirBounds(t *testing.T) {
	for _, c := range []struct {
		what string
		edit func(*Policy)
		ok   bool
	}{
		{"the shortest first wait", func(p *Policy) { p.First = MinDelay }, true},
		{"a shorter one", func(p *Policy) { p.First = MinDelay - 1 }, false},
		{"one wait for all", func(p *Policy) { p.Max = p.First }, true},
		{"a longest wait below the first", func(p *Policy) { p.Max = p.First - 1 }, false},
		{"a factor of 1", func(p *Policy) { p.Factor = 1 }, true},
		{"a factor below 1", func(p *Policy) { p.Factor = math.Nextafter(1, 0) }, false},
		{"the largest factor", func(p *Policy) { p.Factor = 100 }, true},
		{"a larger one", func(p *Policy) { p.Factor = math.Nextafter(100, 101) }, false},
		{"an infinite factor", func(p *Policy) { p.Factor = math.Inf(1) }, false},
		{"no jitter", func(p *Policy) { p.Jitter = 0 }, true},
		{"a jitter below 0", func(p *Policy) { p.Jitter = math.Nextafter(0, -1) }, false},
		{"the largest jitter", func(p *Policy) { p.Jitter = math.Nextafter(1, 0) }, true},
		{"full jitter", func(p *Policy) { p.Jitter = 1 }, false},
		{"an end after one wait", func(p *Policy) { p.Expire = p.First }, true},
		{"an end before it", func(p *Policy) { p.Expire = p.First - 1 }, false},
		{"no warning", func(p *Policy) { p.Warn = 0 }, true},
		{"a warning before acceptance", func(p *Policy) { p.Warn = -1 }, false},
	} {
		p := Default()
		c.edit(&p)
		if err := p.Validate(); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// The sender is told once warn has passed, until the message is given up.
func TestLate(t *testing.T) {
	p := Default()
	for _, c := range []struct {
		age  time.Duration
		want bool
	}{
		{-time.Hour, false}, {0, false}, {p.Warn - 1, false}, {p.Warn, true}, {p.Warn + 1, true},
		{p.Expire - 1, true}, {p.Expire, false}, {p.Expire + 1, false},
	} {
		if got := p.Late(begin, begin.Add(c.age)); got != c.want {
			t.Errorf("after %v: %v", c.age, got)
		}
	}
	p.Warn = 0
	if p.Late(begin, begin) || p.Late(begin, begin.Add(time.Hour)) {
		t.Error("a policy without a warning warns")
	}
	p.Warn = p.Expire
	if p.Late(begin, begin.Add(p.Expire)) {
		t.Error("what is given up is warned of")
	}
	p.Expire = 0
	if !p.Late(begin, begin.Add(p.Warn)) {
		t.Error("without an end nothing is warned of")
	}
}

// A factor that is no whole number multiplies each step, and the longest wait cuts the
// step that would pass it, and no earlier one.
func TestEveryStep(t *testing.T) {
	p := Policy{First: 100 * time.Second, Max: 338 * time.Second, Factor: 1.5, Expire: time.Hour}
	for i, want := range []float64{100, 150, 225, 337.5, 338, 338} {
		if got := p.Next(mail.ID{}, i+1, begin).Sub(begin).Seconds(); got != want {
			t.Errorf("after attempt %d: %v seconds, want %v", i+1, got, want)
		}
	}
	// Jitter takes off the wait, never off the shortest one.
	p = Policy{First: MinDelay, Max: MinDelay, Factor: 1, Jitter: 0.9, Expire: time.Hour}
	for attempt := range 100 {
		if got := p.Next(id(t, 7), attempt, begin).Sub(begin); got != MinDelay {
			t.Fatalf("after attempt %d: %v", attempt, got)
		}
	}
}

func id(t *testing.T, last byte) mail.ID {
	t.Helper()
	b := make([]byte, 15)
	b[14] = last
	id, err := mail.IDFromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Known answers: a message keeps its place in time over a restart, and an upgrade.
func TestKnownWaits(t *testing.T) {
	p := Default()
	for _, c := range []struct {
		last    byte
		attempt int
		want    time.Duration
	}{
		{1, 1, 269620102269}, {1, 2, 557749329058}, {2, 1, 272116993593}, {2, 6, 6259944218934},
	} {
		if got := p.Next(id(t, c.last), c.attempt, begin).Sub(begin); got != c.want {
			t.Errorf("message %d, attempt %d: %d ns, want %d", c.last, c.attempt, got, c.want)
		}
	}
}

// Other messages and other attempts get other shares of the jitter, so that neither
// what failed together nor what fails again keeps step.
func TestChanceDependsOnMessageAndAttempt(t *testing.T) {
	seen := map[float64]bool{}
	for last := range 20 {
		for attempt := range 20 {
			c := chance(id(t, byte(last)), attempt)
			if c < 0 || c >= 1 || seen[c] {
				t.Fatalf("message %d, attempt %d: %v", last, attempt, c)
			}
			seen[c] = true
		}
	}
}
