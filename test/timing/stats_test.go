package timing

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// verdict is what the samples show.
type verdict int

const (
	undecided verdict = iota
	alike             // the difference is surely smaller than what is tolerated
	unlike            // it is surely larger
)

// String returns the word for a report.
func (v verdict) String() string { return [...]string{"undecided", "alike", "unlike"}[v] }

// quantile is the part of the samples that is looked at: the fast ones, which nothing else held up.
// Whoever measures over a network does the same, since what disturbs him only makes slower.
const quantile = 0.2

// comparison is how much longer one kind takes than another, as a part of the other's time.
type comparison struct {
	middle, least, most float64 // the quantile's difference, and the bounds of its confidence interval
	median              float64 // the difference of the medians, which is not judged
	verdict
}

// String returns one line for a report.
func (c comparison) String() string {
	return fmt.Sprintf("%+.2f %% (%+.2f to %+.2f; medians %+.2f): %v", 100*c.middle, 100*c.least, 100*c.most, 100*c.median, c.verdict)
}

// compare looks at the quantiles of two kinds that took turns. The interval of each comes from the
// order of the samples alone, so that it holds whatever their distribution is: the binomial one
// of how many lie below it, 3.29 standard deviations to either side.
// tolerated is how large a part of the time a difference may be.
func compare(kind, base []time.Duration, tolerated float64) comparison {
	k, kLeast, kMost := quantileOf(kind)
	b, bLeast, bMost := quantileOf(base)
	c := comparison{middle: (k - b) / b, median: (medianOf(kind) - medianOf(base)) / medianOf(base)}
	c.least = c.middle - math.Hypot(k-kLeast, bMost-b)/b
	c.most = c.middle + math.Hypot(kMost-k, b-bLeast)/b
	switch {
	case len(kind) < 40:
	case c.least > tolerated || c.most < -tolerated:
		c.verdict = unlike
	case c.least > -tolerated && c.most < tolerated:
		c.verdict = alike
	}
	return c
}

func quantileOf(all []time.Duration) (q, least, most float64) {
	all = slices.Sorted(slices.Values(all))
	n := float64(len(all))
	at := func(rank float64) float64 { return float64(all[int(min(max(rank, 0), n-1))]) }
	reach := 3.29 * math.Sqrt(n*quantile*(1-quantile))
	return at(n * quantile), at(math.Floor(n*quantile - reach)), at(math.Ceil(n*quantile + reach))
}

func medianOf(all []time.Duration) float64 {
	return float64(slices.Sorted(slices.Values(all))[len(all)/2])
}

// The statistics themselves: noise as large as the time is no difference, five percent in it are
// one, and a few samples are neither.
func TestCompare(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sample := func(n int, plus, noise float64) (kind, base []time.Duration) {
		one := func() float64 { return 1e6 * (1 + noise*math.Exp(r.NormFloat64())) }
		for range n {
			base, kind = append(base, time.Duration(one())), append(kind, time.Duration(one()+1e6*plus))
		}
		return kind, base
	}
	for _, c := range []struct {
		n           int
		plus, noise float64
		want        verdict
	}{
		{2000, 0, 0.05, alike}, {2000, 0.06, 0.05, unlike}, {2000, -0.06, 0.05, unlike}, {400, 0.06, 0.02, unlike}, {400, 0, 0.02, alike},
		{20, 0.2, 0.001, undecided}, {50, 0, 0.5, undecided},
	} {
		kind, base := sample(c.n, c.plus, c.noise)
		if got := compare(kind, base, 0.025); got.verdict != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
