package verdict

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/gate"
)

// lieRules are the rules that refuse a false sender: of the gate, and of package bind.
func lieRules() []string {
	return []string{
		string(gate.RuleMXOwnSender), string(gate.RuleSenderNotOwned), "author-not-owned", "author-twice",
		"author-unclear", "author-missing",
		"author-not-ascii", "sender-field-not-owned", "resent-not-owned",
	}
}

// lied counts what arrived in the name of somebody who did not write it.
func lied(s Seen) []Measure {
	tried := refused(s.Facts, lieRules()...)
	arrived := slices.Concat(s.Left, s.Boxes)
	n, some := examples(arrived, func(l Letter) (string, bool) {
		return fmt.Sprintf("%s of %s as %s", l.ID, l.Account, strings.Join(append(l.Authors[:len(l.Authors):len(l.Authors)], "<"+l.From+">"), ", ")), s.lies(l)
	})
	hidden, which := examples(arrived, func(l Letter) (string, bool) { return l.ID, l.Actor == Smuggler })
	out := []Measure{{Promise: NoLie, What: "messages that arrived in a name that is not their sender's", Unit: "messages", Found: float64(n), Tried: tried + n, From: Sink, Examples: some}}
	if around := refused(s.Facts, "protocol") + came(arrived, Owner); s.Smuggled && around+hidden > 0 {
		out = append(out, Measure{
			Promise: NoLie, What: "messages that came hidden within others", Unit: "messages",
			Found: float64(hidden), Tried: around + hidden, From: Store, Examples: which,
		})
	}
	return out
}

// lies reports whether a letter names an author or a sender that is not its own.
func (s Seen) lies(l Letter) bool {
	switch {
	case l.Actor == Stranger && !slices.ContainsFunc(l.To, func(to string) bool { return slices.Contains(s.Forwards, to) }):
		return slices.Contains(s.Ours, domainOf(l.From))
	case l.Account == "":
		return false
	}
	foreign := func(a string) bool { return !strings.EqualFold(a, l.Account) }
	// A signed return path ends in the address that it stands for.
	envelope := l.From != "" && foreign(l.From) && !strings.HasSuffix(strings.ToLower(l.From), "="+strings.ToLower(l.Account))
	return l.Unread || envelope || slices.ContainsFunc(l.Authors, foreign)
}

// hijacked tells how much a thief got out, and for how long.
func hijacked(s Seen) []Measure {
	if len(s.Stolen) == 0 {
		return nil
	}
	left := 0
	for _, l := range s.Left {
		if l.Actor == Thief {
			left += len(l.To)
		}
	}
	var free, late int
	var slowest time.Duration
	var which []string
	tried := 0
	for _, account := range s.Stolen {
		first, last := s.sent(account)
		at, ok := s.stopped(account)
		if ok || !first.IsZero() {
			tried++
		}
		if !ok {
			free++
			which = append(which, account)
			slowest = max(slowest, last.Sub(first), s.Bounds.Contain+time.Second)
			continue
		}
		if !first.IsZero() {
			slowest = max(slowest, at.Sub(first))
		}
		late += s.taken(account, at)
	}
	tried += left
	m := func(what, unit string, found, most float64, from Source) Measure {
		return Measure{Promise: NoHijack, What: what, Unit: unit, Found: found, Most: most, Tried: tried, From: from}
	}
	still := m("stolen accounts that were not stopped", "accounts", float64(free), 0, Store)
	still.Examples = which
	return []Measure{
		still,
		m("recipients whom a thief's mail reached", "recipients", float64(left), float64(s.Bounds.Leak), Sink),
		m("until a stolen account was stopped", "seconds", slowest.Seconds(), s.Bounds.Contain.Seconds(), Trace),
		m("messages of a stopped account that were taken all the same", "messages", float64(late), 0, Trace),
	}
}

// sent is when an account's first and last message was taken, as the trace has it.
func (s Seen) sent(account string) (first, last time.Time) {
	for _, f := range s.Facts {
		if f.Kind != fact.KindAccept || f.Account != account {
			continue
		}
		if first.IsZero() || f.At.Before(first) {
			first = f.At
		}
		if f.At.After(last) {
			last = f.At
		}
	}
	return first, last
}

func (s Seen) stopped(account string) (at time.Time, ok bool) {
	for _, c := range s.Contained {
		if c.Account == account && (!ok || c.At.Before(at)) {
			at, ok = c.At, true
		}
	}
	return at, ok
}

// taken is how many messages of an account were taken after a moment. What was in its last
// step at that very moment is not counted: the order of two facts of one second is chance.
func (s Seen) taken(account string, after time.Time) (n int) {
	for _, f := range s.Facts {
		if f.Kind == fact.KindAccept && f.Account == account && f.At.After(after.Add(time.Second)) {
			n++
		}
	}
	return n
}
