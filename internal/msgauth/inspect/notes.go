package inspect

import (
	"sallyport/internal/msgauth/dkim"
	"sallyport/internal/trace"
)

func notes(results []dkim.Result) []trace.Pair {
	if len(results) == 0 {
		return []trace.Pair{{Name: "dkim", Value: "none"}}
	}
	var out []trace.Pair
	for _, r := range results {
		out = append(out, trace.Pair{Name: "dkim", Value: r.String()})
	}
	return out
}
