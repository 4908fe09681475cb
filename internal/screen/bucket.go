package screen

import (
	"math"
	"time"
)

// Rate is the size of a bucket and how fast it fills. The zero Rate gives nothing.
type Rate struct {
	Burst int           // how many may be taken at once from a full bucket
	Every time.Duration // after how long one more is there
}

// Forever is the wait for what a Rate never gives.
const Forever = time.Duration(math.MaxInt64)

// AtMost returns a Rate that gives at most n in any span of time of length
// window, whatever came before: half of them at once, the others spread evenly.
// With n < 1 or without a window it returns the Rate that gives nothing.
func AtMost(n int, window time.Duration) Rate {
	if n < 1 || window <= 0 {
		return Rate{}
	}
	burst := max(1, n/2)
	// A window that begins with a full bucket sees the burst and each refill
	// within it, of which there must be n - burst.
	return Rate{Burst: burst, Every: window/time.Duration(n-burst+1) + 1}
}

// Valid reports whether the rate gives anything at all.
func (r Rate) Valid() bool {
	return r.Burst > 0 && r.Every > 0 && int64(r.Burst) <= math.MaxInt64/2/int64(r.Every)
}

// span is how long an empty bucket takes to be full.
func (r Rate) span() time.Duration { return time.Duration(r.Burst) * r.Every }

// Bucket is what is left of one Rate. It remembers only when it will be full
// again, so the zero Bucket is a full one. It is a value: Take and GiveBack
// return the next one.
type Bucket struct{ full time.Time }

// IsFull reports whether the bucket has nothing to remember any more.
func (b Bucket) IsFull(now time.Time) bool { return !b.full.After(now) }

// Before reports whether b is full before c is.
func (b Bucket) Before(c Bucket) bool { return b.full.Before(c.full) }

// Begun returns the bucket that had n at a moment, or as many as it has room for.
func (r Rate) Begun(at time.Time, n int) Bucket {
	if !r.Valid() {
		return Bucket{}
	}
	return Bucket{full: at.Add(time.Duration(max(0, r.Burst-max(0, n))) * r.Every)}
}

// Times returns the rate that gives k times as much.
func (r Rate) Times(k int) Rate {
	if k < 1 || !r.Valid() {
		return Rate{}
	}
	return Rate{Burst: r.Burst * k, Every: max(1, r.Every/time.Duration(k))}
}

// FullAt returns when the bucket will be full again; zero: it is. FilledAt makes it anew.
func (b Bucket) FullAt() time.Time { return b.full }

// FilledAt returns the bucket that is full at a moment.
func FilledAt(at time.Time) Bucket { return Bucket{full: at} }

// Wait returns how long it takes until one may be taken: 0 for now.
func (b Bucket) Wait(r Rate, now time.Time) time.Duration { return b.WaitFor(r, 1, now) }

// WaitFor returns how long it takes until n may be taken at once: 0 for now, Forever for more
// than the bucket ever holds.
func (b Bucket) WaitFor(r Rate, n int, now time.Time) time.Duration {
	if !r.Valid() || n > r.Burst {
		return Forever
	}
	return max(0, b.clamp(r, now).Add(time.Duration(max(n, 0))*r.Every).Sub(now.Add(r.span())))
}

// TakeAll takes n at once, or reports that there are not so many and takes nothing; what it
// returns is to be kept either way, as of Take.
func (b Bucket) TakeAll(r Rate, n int, now time.Time) (Bucket, bool) {
	if b.WaitFor(r, n, now) > 0 {
		return b.Settled(r, now), false
	}
	return Bucket{full: b.clamp(r, now).Add(time.Duration(max(n, 0)) * r.Every)}, true
}

// Take takes one, or reports that there is none and takes nothing. What it returns is to
// be kept either way: of a bucket that a clock set back has closed it is where the waiting
// begins.
func (b Bucket) Take(r Rate, now time.Time) (Bucket, bool) {
	return b.TakeAll(r, 1, now)
}

// GiveBack undoes one Take.
func (b Bucket) GiveBack(r Rate, now time.Time) Bucket { return b.GiveBackAll(r, 1, now) }

// GiveBackAll undoes the taking of n.
func (b Bucket) GiveBackAll(r Rate, n int, now time.Time) Bucket {
	if !r.Valid() {
		return b
	}
	return Bucket{full: b.clamp(r, now).Add(-time.Duration(min(max(n, 0), r.Burst)) * r.Every)}
}

// Settled returns the bucket as it is after a clock was set back: closed for no longer than a
// span.
func (b Bucket) Settled(r Rate, now time.Time) Bucket {
	if !r.Valid() || b.IsFull(now) {
		return b
	}
	return Bucket{full: b.clamp(r, now)}
}

// clamp keeps the moment between now and the span from now: a clock that was set
// back would otherwise close the bucket for as long as it was set back.
func (b Bucket) clamp(r Rate, now time.Time) time.Time {
	if b.full.Before(now) {
		return now
	}
	if last := now.Add(r.span()); b.full.After(last) {
		return last
	}
	return b.full
}
