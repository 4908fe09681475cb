package sched

import (
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
)

var begin = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func drawID(r *rapid.T) mail.ID {
	id, err := mail.IDFromBytes(rapid.SliceOfN(rapid.Byte(), 15, 15).Draw(r, "id"))
	if err != nil {
		r.Fatal(err)
	}
	return id
}

func drawPolicy(r *rapid.T) Policy {
	first := rapid.Int64Range(int64(MinDelay), int64(48*time.Hour)).Draw(r, "first")
	return Policy{
		First:  time.Duration(first),
		Max:    time.Duration(rapid.Int64Range(first, int64(30*24*time.Hour)).Draw(r, "max")),
		Factor: rapid.Float64Range(1, 100).Draw(r, "factor"),
		Jitter: rapid.Float64Range(0, 0.999).Draw(r, "jitter"),
		Expire: time.Duration(rapid.Int64Range(first, math.MaxInt64/4).Draw(r, "expire")),
	}
}

func TestDefaultIsValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
}

// A schedule as an operator would read it.
func TestDefaultSchedule(t *testing.T) {
	p := Default()
	p.Jitter = 0
	for i, want := range []time.Duration{5, 10, 20, 40, 80, 120, 120, 120} {
		if got := p.Next(mail.ID{}, i+1, begin).Sub(begin); got != want*time.Minute {
			t.Errorf("after attempt %d: %v; want %d minutes", i+1, got, want)
		}
	}
	for _, attempt := range []int{0, -1, math.MinInt, math.MaxInt} {
		want := p.First
		if attempt > 0 {
			want = p.Max
		}
		if got := p.Next(mail.ID{}, attempt, begin).Sub(begin); got != want {
			t.Errorf("after attempt %d: %v; want %v", attempt, got, want)
		}
	}
}

func TestWaitsStayWithinTheirBounds(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p, id := drawPolicy(r), drawID(r)
		if err := p.Validate(); err != nil {
			r.Fatal(err)
		}
		shortest := max(time.Duration(float64(p.First)*(1-p.Jitter))-time.Microsecond, MinDelay)
		before := time.Duration(0)
		for attempt := 1; attempt <= 40; attempt++ {
			full := p.wait(attempt)
			if full < before {
				r.Fatalf("the full wait after attempt %d is %v, after the one before %v", attempt, full, before)
			}
			before = full
			wait := p.Next(id, attempt, begin).Sub(begin)
			if wait < shortest || wait > p.Max || wait > full {
				r.Fatalf("after attempt %d: %v does not lie between %v and %v, max %v", attempt, wait, shortest, full, p.Max)
			}
			if again := p.Next(id, attempt, begin).Sub(begin); again != wait {
				r.Fatalf("%v, then %v", wait, again)
			}
		}
	})
}

// Messages that failed in one moment come back spread over the jitter.
func TestJitterSpreads(t *testing.T) {
	p := Default()
	const n = 2000
	var parts [10]int
	for i := range n {
		b := make([]byte, 15)
		b[13], b[14] = byte(i>>8), byte(i)
		id, err := mail.IDFromBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		off := p.First - p.Next(id, 1, begin).Sub(begin)
		parts[min(9, int(10*float64(off)/(float64(p.First)*p.Jitter)))]++
	}
	for i, got := range parts {
		if got < n/20 || got > n/5 {
			t.Errorf("tenth %d of the jitter holds %d of %d", i, got, n)
		}
	}
}

func TestExpired(t *testing.T) {
	p := Default()
	for _, c := range []struct {
		age  time.Duration
		want bool
	}{{-time.Hour, false}, {0, false}, {p.Expire - 1, false}, {p.Expire, true}, {p.Expire + 1, true}} {
		if got := p.Expired(begin, begin.Add(c.age)); got != c.want {
			t.Errorf("after %v: %v", c.age, got)
		}
	}
}

// A policy that nobody filled in loses nothing and hammers nobody.
func TestBadPolicies(t *testing.T) {
	for what, edit := range map[string]func(*Policy){
		"nothing":           func(p *Policy) { *p = Policy{} },
		"first too short":   func(p *Policy) { p.First = MinDelay - 1 },
		"max below first":   func(p *Policy) { p.Max = p.First - 1 },
		"a shrinking wait":  func(p *Policy) { p.Factor = 0.99 },
		"a factor of NaN":   func(p *Policy) { p.Factor = math.NaN() },
		"a jitter of NaN":   func(p *Policy) { p.Jitter = math.NaN() },
		"full jitter":       func(p *Policy) { p.Jitter = 1 },
		"negative jitter":   func(p *Policy) { p.Jitter = -0.1 },
		"a negative expiry": func(p *Policy) { p.Expire = -1 },
	} {
		p := Default()
		edit(&p)
		if err := p.Validate(); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", what, err)
		}
		if got := p.Next(mail.ID{}, 3, begin).Sub(begin); got < MinDelay {
			t.Errorf("%s: the next attempt comes after %v", what, got)
		}
	}
	if (Policy{}).Expired(begin, begin.Add(100*365*24*time.Hour)) {
		t.Error("a policy that says nothing gives mail up")
	}
}
