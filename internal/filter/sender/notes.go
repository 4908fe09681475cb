package sender

import (
	"slices"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/fact"
)

// maxTold bounds the signatures of a message that the trace and Authentication-Results
// tell of.
const maxTold = 20

// told returns the results that are told: where there are too many, those that passed
// and those that were looked at come first.
func told(results []dkim.Result) []dkim.Result {
	if len(results) <= maxTold {
		return results
	}
	weight := func(r dkim.Result) int {
		switch {
		case r.Passed():
			return 0
		case r.Unseen:
			return 2
		}
		return 1
	}
	out := slices.Clone(results)
	slices.SortStableFunc(out, func(a, b dkim.Result) int { return weight(a) - weight(b) })
	return out[:maxTold]
}

func notes(results []dkim.Result) []fact.Pair {
	if len(results) == 0 {
		return []fact.Pair{{Name: "dkim", Value: "none"}}
	}
	var out []fact.Pair
	for _, r := range told(results) {
		out = append(out, fact.Pair{Name: "dkim", Value: r.String()})
	}
	return out
}
