package hijack

import "math"

// Merge makes one state of two of the same account, of which each may have seen what the
// other did not: a checkpoint and what was rebuilt after a crash. Whatever happens then
// is judged at least as strictly as by either of them: evidence and what left are the
// larger ones, baselines the smaller ones. The clock may have been set between the two,
// so no time passes for the one that was seen earlier: what it saw counts for longer.
func Merge(a, b State) State {
	if b.high == 0 {
		return a
	}
	if a.high == 0 {
		return b
	}
	if b.age > a.age {
		a, b = b, a
	}
	a.high = max(a.high, b.high)
	a.begin = math.Max(a.begin, b.begin)
	a.spent = math.Max(a.spent, b.spent)
	for i := range a.shares {
		x, y := &a.shares[i], b.shares[i]
		x.n, x.s = max(x.n, y.n), min(x.s, y.s)
		for k := range x.evidence {
			if y.evidence[k] > x.evidence[k] {
				x.evidence[k], x.of, x.odd = y.evidence[k], y.of, y.odd
			}
		}
	}
	for i := range a.paces {
		x, y := &a.paces[i], b.paces[i]
		x.n, x.hours, x.odd = min(x.n, y.n), max(x.hours, y.hours), max(x.odd, y.odd)
		x.evidence = math.Max(x.evidence, y.evidence)
	}
	a.slow.evidence, a.slow.odd = math.Max(a.slow.evidence, b.slow.evidence), max(a.slow.odd, b.slow.odd)
	if a.claimed != b.claimed {
		a.claimed = 0
	}
	a.mergeSlots(&b)
	return a
}

// mergeSlots takes over what b saw of late. The slots of two states begin at other
// moments where the accounts' ages differ: what is strict late (what left is forgotten,
// what is unusual is learnt) goes into the later of the two slots of a that one of b lies
// in; what is strict early (how much was judged) into the earlier.
func (s *State) mergeSlots(b *State) {
	late := 0
	if b.age%slotTime < s.age%slotTime {
		late = 1
	}
	early := 0
	if b.age%slotTime > s.age%slotTime {
		early = 1
	}
	var left [weekSlots]uint32
	for i := range weekSlots {
		left[max(0, i-late)] += b.left[ring(b.slot()-int64(i), weekSlots)]
	}
	var fresh [daySlots]young
	for i := range daySlots {
		y := b.fresh[ring(b.slot()-int64(i), daySlots)]
		to, from := &fresh[max(0, i-late)], min(i+early, daySlots-1)
		for k := range y.s {
			to.s[k] += y.s[k]
			fresh[from].n[k] += y.n[k]
		}
		for k := range y.rate {
			to.rate[k] += y.rate[k]
		}
	}
	for i, n := range left {
		at := &s.left[ring(s.slot()-int64(i), weekSlots)]
		*at = max(*at, n)
	}
	for i, y := range fresh {
		at := &s.fresh[ring(s.slot()-int64(i), daySlots)]
		for k := range y.s {
			at.n[k], at.s[k] = max(at.n[k], y.n[k]), min(at.s[k], y.s[k])
		}
		for k := range y.rate {
			at.rate[k] = min(at.rate[k], y.rate[k])
		}
	}
}

// ring is where a slot lies among so many.
func ring(slot int64, of int) int64 { return (slot%int64(of) + int64(of)) % int64(of) }
