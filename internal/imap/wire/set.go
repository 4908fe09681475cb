package wire

import (
	"cmp"
	"slices"
	"strconv"
)

// Star is "*" in a Range: the largest number in use.
const Star uint32 = 0

// Range is one part of a Set, both ends included; either may be Star, and they may stand in
// any order. RFC 9051 §9: seq-range.
type Range struct{ From, To uint32 }

// Set is a set of sequence numbers or UIDs as it was given.
type Set struct {
	Ranges []Range
	Saved  bool // "$": what the last search saved. RFC 5182
}

// set takes a set. RFC 9051 §9: sequence-set.
func (s *scanner) set() Set {
	if s.accept('$') {
		return Set{Saved: true}
	}
	var out []Range
	for s.ok() {
		r := Range{From: s.setNumber()}
		r.To = r.From
		if s.accept(':') {
			r.To = s.setNumber()
		}
		if s.ranges++; s.ranges > s.limits.Ranges {
			s.fail("a set has too many ranges")
		}
		out = append(out, r)
		if !s.accept(',') {
			break
		}
	}
	return Set{Ranges: out}
}

func (s *scanner) setNumber() uint32 {
	if s.accept('*') {
		return Star
	}
	return s.number32(true)
}

// startsSet reports whether a set begins here.
func (s *scanner) startsSet() bool {
	c := s.peek()
	return isDigit(c) || c == '*' || c == '$'
}

// Within returns the ranges in order, without overlaps, where Star is largest; a range that
// is "*" alone or ends there holds largest even if it begins beyond. RFC 9051 §9. Nothing
// is in use if largest is 0.
func (t Set) Within(largest uint32) []Range {
	if largest == 0 {
		return nil
	}
	out := make([]Range, 0, len(t.Ranges))
	for _, r := range t.Ranges {
		if r.From == Star {
			r.From = largest
		}
		if r.To == Star {
			r.To = largest
		}
		if r.From > r.To {
			r.From, r.To = r.To, r.From
		}
		out = append(out, r)
	}
	return merge(out)
}

// merge puts ranges in order and joins those that touch.
func merge(in []Range) []Range {
	slices.SortFunc(in, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	out := in[:0]
	for _, r := range in {
		if n := len(out); n > 0 && uint64(r.From) <= uint64(out[n-1].To)+1 {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

// RangesOf returns numbers as ranges: those that follow on each other as one, so that the
// order stays.
func RangesOf(numbers []uint32) []Range {
	var out []Range
	for _, n := range numbers {
		if k := len(out); k > 0 && out[k-1].To+1 == n {
			out[k-1].To = n
			continue
		}
		out = append(out, Range{From: n, To: n})
	}
	return out
}

// AppendRanges writes ranges as a set.
func AppendRanges(b []byte, ranges []Range) []byte {
	for i, r := range ranges {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSetNumber(b, r.From)
		if r.To != r.From {
			b = append(b, ':')
			b = appendSetNumber(b, r.To)
		}
	}
	return b
}

func appendSetNumber(b []byte, n uint32) []byte {
	if n == Star {
		return append(b, '*')
	}
	return strconv.AppendUint(b, uint64(n), 10)
}

// AppendSet writes numbers as a set, in their order.
func AppendSet(b []byte, numbers []uint32) []byte { return AppendRanges(b, RangesOf(numbers)) }
