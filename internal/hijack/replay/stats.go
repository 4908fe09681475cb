package replay

import (
	"cmp"
	"math"
	"slices"
)

// Quantiles of a list of figures.
type Quantiles[T any] struct {
	Median, P90, Max T
}

// quantiles sorts all and takes them; zero if it is empty.
func quantiles[T cmp.Ordered](all []T) (q Quantiles[T]) {
	if len(all) == 0 {
		return q
	}
	s := slices.Sorted(slices.Values(all))
	return Quantiles[T]{Median: s[len(s)/2], P90: s[len(s)*9/10], Max: s[len(s)-1]}
}

// poisson is the exact interval (Garwood) in which the mean lies with 95 % confidence
// when n was counted.
func poisson(n int) (low, high float64) {
	const tail = 0.025
	if n > 0 {
		// The mean at which n or more is as rare as that.
		low = search(func(mean float64) bool { return 1-below(n-1, mean) < tail }, float64(n))
	}
	// The mean at which n or fewer is.
	high = search(func(mean float64) bool { return below(n, mean) > tail }, 20+float64(n)*3)
	return low, high
}

// search finds where holds ends, between 0 and most.
func search(holds func(float64) bool, most float64) float64 {
	low := 0.0
	for range 100 {
		if mid := (low + most) / 2; holds(mid) {
			low = mid
		} else {
			most = mid
		}
	}
	return low
}

// below is the chance of at most n where so many are expected.
func below(n int, mean float64) float64 {
	if mean <= 0 {
		return 1
	}
	sum := 0.0
	for k := 0; k <= n; k++ {
		lg, _ := math.Lgamma(float64(k + 1))
		sum += math.Exp(float64(k)*math.Log(mean) - mean - lg)
	}
	return math.Min(1, sum)
}
