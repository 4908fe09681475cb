package verdict

import (
	"slices"
	"strings"

	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// lost counts what was acknowledged and is nowhere.
func lost(s Seen) []Measure {
	if len(s.Acks) == 0 {
		return nil
	}
	type place struct{ id, to string }
	there := map[place]bool{}
	for _, l := range s.Left {
		for _, to := range l.To {
			there[place{l.ID, to}] = true
		}
	}
	for _, l := range s.Boxes {
		there[place{l.ID, ""}] = true
	}
	for _, w := range s.Queue {
		there[place{w.ID, ""}] = true
		for _, to := range w.To {
			there[place{w.ID, to}] = true
		}
	}
	back := s.returned()
	n, some := examples(s.Acks, func(a Ack) (string, bool) {
		missing := !back[a.ID] && slices.ContainsFunc(a.To, func(to string) bool {
			if slices.Contains(s.Ours, domainOf(to)) {
				to = "" // it may be in the mailbox of another address
			}
			return !there[place{a.ID, to}]
		})
		return a.ID, missing
	})
	return []Measure{{Promise: NoFalse250, What: "messages that were acknowledged and are nowhere", Unit: "messages", Found: float64(n), Tried: len(s.Acks), From: Store, Examples: some}}
}

// returned are the messages whose senders were told, in their mailboxes, that they did not
// arrive.
func (s Seen) returned() map[string]bool {
	of, here, out := map[mail.ID]string{}, map[string]bool{}, map[string]bool{}
	for _, l := range s.Boxes {
		here[l.Queue] = true
	}
	for _, w := range s.Queue {
		here[w.Queue] = true
	}
	for _, f := range s.Facts {
		switch {
		case f.Kind == fact.KindAccept:
			of[f.Queue] = IDOf(f.MessageID)
		case f.Kind == fact.KindNotify && here[f.Queue.String()]:
			out[of[f.About]] = true
		}
	}
	delete(out, "")
	return out
}

// bounced counts what reached people in whose names others wrote.
func bounced(s Seen) []Measure {
	n, some := examples(s.Left, func(l Letter) (string, bool) {
		innocent := slices.ContainsFunc(l.To, func(to string) bool { return domainOf(to) == s.Innocent })
		return "<" + l.From + "> to " + strings.Join(l.To, ", "), innocent && l.Actor == ""
	})
	forged := refused(s.Facts, string(gate.RuleNoSuchUser))
	for _, f := range s.Facts {
		if f.Kind == fact.KindAccept && strings.HasSuffix(f.Sender, "@"+s.Innocent) {
			forged++
		}
	}
	return []Measure{{Promise: NoBackscatter, What: "error messages that reached people who had sent nothing", Unit: "messages", Found: float64(n), Tried: forged + n, From: Sink, Examples: some}}
}

// bombed tells how much of what should not land did, and what honest people had meanwhile.
func bombed(s Seen) []Measure {
	var out []Measure
	m := func(what, unit string, found, most float64, tried int, from Source) {
		out = append(out, Measure{Promise: NoBomb, What: what, Unit: unit, Found: found, Most: most, Tried: tried, From: from})
	}
	var largest, taken int64
	for _, l := range slices.Concat(s.Boxes, s.Left) {
		largest = max(largest, l.Size)
		taken += l.Size
	}
	for _, w := range s.Queue {
		largest = max(largest, w.Size)
		taken += w.Size
	}
	bombs := refused(s.Facts, "message-too-large", "protocol")
	if s.Bombed {
		m("the largest message that is here", "octets", float64(largest), float64(s.Bounds.MessageOctets),
			bombs+came(s.Boxes, Bomber), Store)
	}
	if s.Siege == nil {
		return out
	}
	m("disk taken beyond what was accepted", "octets", float64(max(0, s.Grown-2*taken)), float64(s.Bounds.Disk), s.Siege.Hostile, Store)
	m("the most memory in use", "octets", float64(s.Siege.Memory), float64(s.Bounds.Memory), s.Siege.Hostile, Store)
	if s.Siege.Honest > 0 {
		m("honest messages that were not taken meanwhile", "messages", float64(s.Siege.Failed), 0, s.Siege.Hostile, Store)
		out[len(out)-1].Examples = s.Siege.Why[:min(len(s.Siege.Why), mostExamples)]
		m("until honest mail was taken, at the slowest", "seconds", s.Siege.Slowest.Seconds(),
			s.Bounds.Serve.Seconds(), s.Siege.Hostile, Store)
		if s.Siege.PutOff > 0 {
			m("until honest mail that was put off came again and was taken", "seconds", s.Siege.PutOff.Seconds(), s.Bounds.Again.Seconds(), s.Siege.Hostile, Store)
		}
	}
	if w := s.Wait; w != nil {
		m("slow senders who were served for ever", "connections", float64(w.Left), 0, s.Siege.Hostile, Store)
		m("until the last slow sender was hung up on", "seconds", w.Took.Seconds(), w.Most.Seconds(), s.Siege.Hostile, Store)
	}
	bounces, some := examples(s.Boxes, func(l Letter) (string, bool) { return l.ID, l.Actor == Bouncer && !l.Junk })
	if s.Flooded {
		out = append(out, Measure{
			Promise: NoBomb, What: "bounces of mail that was never sent, in a mailbox", Unit: "messages",
			Found: float64(bounces), Tried: refused(s.Facts, "bounce-forged") + came(s.Boxes, Bouncer),
			From: Store, Examples: some,
		})
	}
	return out
}

// open counts what the trace does not answer for.
func open(s Seen) []Measure {
	story := Stories(s.Facts)
	nameless := 0
	for _, f := range s.Facts {
		if f.Kind == fact.KindRefuse && f.Rule == "" {
			nameless += max(1, f.Count)
		}
	}
	arrived := slices.Concat(s.Left, s.Boxes)
	silent, some := examples(arrived, func(l Letter) (string, bool) {
		lacking := Whole(story[l.Queue], l)
		return l.Queue + ": " + lacking, lacking != ""
	})
	m := func(what, unit string, found, tried int, more []string) Measure {
		return Measure{Promise: NoOpenQuestion, What: what, Unit: unit, Found: float64(found), Tried: tried, From: Trace, Examples: more}
	}
	out := []Measure{
		m("messages that arrived and whose story is not whole", "messages", silent, len(arrived), some),
		m("refusals that name no rule", "refusals", nameless, refused(s.Facts), nil),
	}
	if v := s.Verified; v != nil {
		out = append(out,
			m("faults in the chain of the trace", "faults", len(v.Faults), int(v.Records), v.Faults[:min(len(v.Faults), mostExamples)]))
	}
	if len(s.Asked) > 0 {
		n, which := examples(s.Asked, func(a Asked) (string, bool) { return a.Queue + ": " + a.Lacking, a.Lacking != "" })
		out = append(out, m("messages of a random ten that cannot be followed to their end", "messages", n, len(s.Asked), which))
	}
	return out
}

// Stories are the facts of each message, by its identifier in the queue. What was sent on of a
// message is part of its story.
func Stories(facts []fact.Fact) map[string][]fact.Fact {
	story := map[string][]fact.Fact{}
	for _, f := range facts {
		if !f.Queue.IsZero() {
			story[f.Queue.String()] = append(story[f.Queue.String()], f)
		}
	}
	for _, f := range facts {
		if f.Kind == fact.KindForward && !f.About.IsZero() {
			from := f.About.String()
			story[from] = append(story[from], story[f.Queue.String()]...)
		}
	}
	return story
}

// Whole says what the facts of one message do not tell of its way to where it arrived: "" is
// nothing.
func Whole(facts []fact.Fact, l Letter) string {
	var in, out bool
	answered := map[string]bool{}
	for _, f := range facts {
		switch f.Kind {
		case fact.KindAccept, fact.KindNotify, fact.KindForward:
			in = true
		case fact.KindOutcome:
			out = true
			for _, to := range f.Recipients {
				answered[to] = true
			}
		}
	}
	switch {
	case !in:
		return "how it came in is not told"
	case !out:
		return "how it left is not told"
	}
	for _, to := range l.To {
		if !l.Boxed && !answered[to] {
			return "the answer to " + to + " is not told"
		}
	}
	return ""
}
