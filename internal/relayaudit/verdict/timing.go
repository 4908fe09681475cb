package verdict

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// leastTimes is how many times of either kind say anything.
	leastTimes = 12
	// leastScore is how far from chance two sets of times must be: by chance, one door in some
	// ten thousand is.
	leastScore = 4
	// leastShare and leastGap are how much the middle times must differ: less drowns in a network.
	leastShare = 0.1
	leastGap   = time.Millisecond
)

// timings tells where the time of an answer, or its words, say whether a name is there.
func (j *judge) timings(d Door) {
	for _, t := range d.Timings {
		if t.Verb == "auth" && len(t.Said) == 2 && !alike(t.Said[0], t.Said[1]) {
			j.find(d, "auth.names", Weakness, "", t.Said...)
			continue
		}
		if there, nobody, tells := t.tells(); tells {
			j.find(d, "timing", Weakness,
				fmt.Sprintf("%s: %s where the name is there, %s where it is not (the middle ones of %d and %d answers, asked in turns).",
					what(t.Verb), there, nobody, len(t.There), len(t.Nobody)),
				t.Said...)
		}
	}
}

func what(verb string) string {
	if verb == "auth" {
		return "Signing in with a wrong password"
	}
	return "RCPT"
}

// alike reports whether two commands were answered in the same words. What holds a digit may be the name
// of a session, and is another in each answer anyway; but for an enhanced code.
func alike(a, b Said) bool {
	return a.Reply.Code == b.Reply.Code && a.Reply.Enhanced == b.Reply.Enhanced &&
		slices.Equal(wordsOf(a.Reply.Text), wordsOf(b.Reply.Text))
}

func wordsOf(text string) []string {
	return slices.DeleteFunc(strings.Fields(text), func(w string) bool {
		return strings.ContainsAny(w, "0123456789") && strings.Trim(w, "0123456789.") != ""
	})
}

// tells reports whether the times tell one kind from the other, and returns the middle one of either.
// It takes ranks (Mann and Whitney), so that a few answers that were late for other reasons count for
// little.
func (t Timing) tells() (there, nobody time.Duration, ok bool) {
	n, m := len(t.There), len(t.Nobody)
	if n < leastTimes || m < leastTimes {
		return 0, 0, false
	}
	type one struct {
		took  time.Duration
		there bool
	}
	all := make([]one, 0, n+m)
	for _, d := range t.There {
		all = append(all, one{d, true})
	}
	for _, d := range t.Nobody {
		all = append(all, one{d, false})
	}
	slices.SortFunc(all, func(a, b one) int { return cmp.Compare(a.took, b.took) })
	ranks := 0.0
	for i := 0; i < len(all); {
		end := i + 1
		for end < len(all) && all[end].took == all[i].took {
			end++
		}
		for _, x := range all[i:end] {
			if x.there {
				ranks += float64(i+end+1) / 2 // those that are equal share their ranks
			}
		}
		i = end
	}
	a, b := float64(n), float64(m)
	score := math.Abs(ranks-a*(a+b+1)/2) / math.Sqrt(a*b*(a+b+1)/12)
	there, nobody = middle(t.There), middle(t.Nobody)
	gap := (there - nobody).Abs()
	return rounded(there), rounded(nobody), score >= leastScore && gap >= leastGap && float64(gap) >= leastShare*float64(min(there, nobody))
}

func middle(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// How exactly times are told: those of answers that are compared, and how long something took.
const (
	answerStep = 100 * time.Microsecond
	tookStep   = 100 * time.Millisecond
)

func rounded(d time.Duration) time.Duration { return d.Round(answerStep) }
