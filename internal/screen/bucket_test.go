package screen

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(d time.Duration) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(d)
}

func TestABucketIsEmptiedAndFillsAgain(t *testing.T) {
	r := Rate{Burst: 2, Every: time.Minute}
	var b Bucket
	for _, step := range []struct {
		at   time.Duration
		want bool
	}{
		{0, true}, {0, true}, {0, false}, {59 * time.Second, false}, {time.Minute, true}, {time.Minute, false},
		{3 * time.Minute, true}, {3 * time.Minute, true}, {3 * time.Minute, false},
		{100 * time.Hour, true}, {100 * time.Hour, true}, {100 * time.Hour, false},
	} {
		next, ok := b.Take(r, at(step.at))
		if ok != step.want {
			t.Fatalf("Take at %v = %v", step.at, ok)
		}
		if !ok && next != b {
			t.Fatalf("a refused Take changed the bucket")
		}
		b = next
	}
	if wait := b.Wait(r, at(100*time.Hour)); wait != time.Minute {
		t.Errorf("Wait = %v", wait)
	}
	if b = b.GiveBack(r, at(100*time.Hour)); b.Wait(r, at(100*time.Hour)) != 0 {
		t.Error("what was given back is not there")
	}
}

func TestRatesThatGiveNothing(t *testing.T) {
	for _, r := range []Rate{{}, {Burst: 1}, {Every: 1}, {Burst: -1, Every: 1}, {Burst: 1, Every: -1}, {Burst: math.MaxInt, Every: math.MaxInt64},
		AtMost(0, time.Hour), AtMost(-1, time.Hour), AtMost(1, 0)} {
		if _, ok := (Bucket{}).Take(r, at(0)); ok {
			t.Errorf("%+v gave one", r)
		}
		if (Bucket{}).Wait(r, at(0)) != Forever {
			t.Errorf("%+v will give one some day", r)
		}
	}
}

// A clock set back by a year must not lock anybody out for a year: whoever is refused
// then waits as long as he is told, and no longer, however often he asks meanwhile.
func TestAClockSetBack(t *testing.T) {
	r := Rate{Burst: 2, Every: time.Minute}
	b, _ := Bucket{}.Take(r, at(365*24*time.Hour))
	wait := b.Wait(r, at(0))
	if wait > time.Minute {
		t.Errorf("Wait = %v", wait)
	}
	for s := time.Duration(0); s < wait; s += time.Second {
		var ok bool
		if b, ok = b.Take(r, at(s)); ok {
			t.Fatalf("Take after %v of %v", s, wait)
		}
	}
	if _, ok := b.Take(r, at(wait)); !ok {
		t.Error("refused after the wait that it told")
	}
}

// A bucket that began with less than it has room for fills from then on.
func TestBegun(t *testing.T) {
	r := Rate{Burst: 5, Every: time.Minute}
	for n, want := range map[int]int{-1: 0, 0: 0, 1: 1, 5: 5, 9: 5} {
		b, got := r.Begun(at(0), n), 0
		for ok := true; ok; {
			if b, ok = b.Take(r, at(0)); ok {
				got++
			}
		}
		if got != want {
			t.Errorf("begun with %d: %d", n, got)
		}
	}
	if b := r.Begun(at(0), 1); !b.IsFull(at(4*time.Minute)) || b.IsFull(at(4*time.Minute-1)) {
		t.Error("it does not fill as fast as it should")
	}
	if got := r.Times(3); got != (Rate{Burst: 15, Every: 20 * time.Second}) {
		t.Errorf("three times as much: %+v", got)
	}
	for _, none := range []Rate{r.Times(0), r.Times(-1), (Rate{}).Times(3)} {
		if none.Valid() {
			t.Errorf("%+v", none)
		}
	}
}

// However the attempts are spread, no window sees more than AtMost says.
func TestAtMostHoldsInEveryWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "n")
		window := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "window"))
		r := AtMost(n, window)
		var b Bucket
		var taken []time.Duration
		var now time.Duration
		for _, gap := range rapid.SliceOfN(rapid.Int64Range(0, int64(window)/3), 1, 300).Draw(t, "gaps") {
			now += time.Duration(gap)
			next, ok := b.Take(r, at(now))
			if !ok {
				continue
			}
			b, taken = next, append(taken, now)
			if len(taken) > n && now-taken[len(taken)-1-n] <= window {
				t.Fatalf("%d in %v, at most %d allowed", n+1, now-taken[len(taken)-1-n], n)
			}
		}
	})
}

func TestAtMostGivesAllItPromises(t *testing.T) {
	r := AtMost(10, 10*time.Minute)
	var b Bucket
	got := 0
	for s := range 601 {
		if next, ok := b.Take(r, at(time.Duration(s)*time.Second+time.Millisecond)); ok {
			b = next
			got++
		}
	}
	if got != 10 {
		t.Errorf("%d within 10 minutes, want 10", got)
	}
}
