package replay

import (
	"iter"
	"time"
)

// limit is what other servers hold against thieves: so many recipients within an hour or
// a day, and the account is locked.
type limit struct{ hour, day int }

func limits() []limit { return []limit{{500, 2000}, {1000, 5000}} }

// fixed tells how many recipients each of limits lets a thief's steps through.
func fixed(steps iter.Seq[step]) []int {
	all := limits()
	out := make([]int, len(all))
	locked := make([]bool, len(all))
	hours, days := window{span: time.Hour}, window{span: day}
	var now time.Duration
	for st := range steps {
		now += st.after
		n := len(st.to)
		hours.add(now, n)
		days.add(now, n)
		done := true
		for i, l := range all {
			if over := max(hours.sum-l.hour, days.sum-l.day); !locked[i] && over > 0 {
				locked[i] = true
				out[i] += max(0, n-over)
			} else if !locked[i] {
				out[i] += n
				done = false
			}
		}
		if done {
			break
		}
	}
	return out
}

// window sums what came within a span.
type window struct {
	span time.Duration
	at   []time.Duration
	n    []int
	sum  int
}

func (w *window) add(now time.Duration, n int) {
	w.at, w.n, w.sum = append(w.at, now), append(w.n, n), w.sum+n
	i := 0
	for now-w.at[i] >= w.span {
		w.sum -= w.n[i]
		i++
	}
	w.at, w.n = w.at[i:], w.n[i:]
}
