package verdict

import (
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/fact"
	"sallyport/internal/gate"
)

// Measures are all figures that follow from what one scenario left behind. A figure of which
// nothing could be seen is left out.
func Measures(s Seen) []Measure {
	var all []Measure
	for _, of := range []func(Seen) []Measure{relayed, lied, hijacked, lost, bounced, bombed, open} {
		for _, m := range of(s) {
			m.Scenario = s.Scenario
			all = append(all, m)
		}
	}
	return all
}

// mostExamples is how many of those that break a promise are named, and how many recipients of a message.
const mostExamples = 3

// examples are a few of those that pass.
func examples[T any](all []T, bad func(T) (string, bool)) (n int, some []string) {
	for _, x := range all {
		text, is := bad(x)
		if !is {
			continue
		}
		if n++; len(some) < mostExamples {
			some = append(some, text)
		}
	}
	return n, some
}

// overflow is the rule of a fact that sums up refusals of more strangers than are told apart.
const overflow = "strangers-overflow"

// refused is how often something was refused by one of the rules, or by any. Where that
// happened, what the trace sums up without telling apart counts as well.
func refused(facts []fact.Fact, rules ...string) int {
	n, more := 0, 0
	for _, f := range facts {
		switch {
		case f.Kind != fact.KindRefuse:
		case len(rules) == 0 || slices.Contains(rules, f.Rule):
			n += max(1, f.Count)
		case f.Rule == overflow:
			more += f.Count
		}
	}
	if n > 0 {
		n += more
	}
	return n
}

func relayed(s Seen) []Measure {
	n, some := examples(s.Left, func(l Letter) (string, bool) {
		forward := slices.ContainsFunc(l.To, func(to string) bool { return slices.Contains(s.Forwards, to) }) && s.Frozen == ""
		return fmt.Sprintf("%s to %s", l.ID, strings.Join(l.To[:min(len(l.To), mostExamples)], ", ")), fromOutside(l.Actor) && !forward
	})
	tried := refused(s.Facts, string(gate.RuleRelayDenied), string(gate.RuleSignInRequired))
	if s.Frozen != "" {
		tried += came(s.Boxes, Stranger) + came(s.Left, Stranger)
	}
	return []Measure{{Promise: NoRelay, What: "messages of people without an account that left", Unit: "messages", Found: float64(n), Tried: tried + n, From: Sink, Examples: some}}
}

// fromOutside reports whether an actor has no account.
func fromOutside(a Actor) bool {
	return a == Stranger || a == Bouncer || a == Bomber || a == Smuggler
}

func came(all []Letter, a Actor) (n int) {
	for _, l := range all {
		if l.Actor == a {
			n++
		}
	}
	return n
}
