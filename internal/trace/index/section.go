package index

import (
	"context"
	"encoding/binary"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// A stretch is so many facts, a power of two. Where it is small, new entries are sorted
// into less; where it is large, a reader looks into fewer stretches: 200 million facts
// have 763 of them.
const (
	stretchBits   = 18
	stretchOctets = 5
	lowOctets     = 3
)

// Layout says in which section of the index a fact is filed. The zero value is that of a
// log that began with this format.
type Layout struct {
	// Stretched is the first fact that this format filed; those before it stand where
	// format 1 filed them, until they are forgotten.
	Stretched uint64
}

type sectionKind uint8

const (
	sectionStretch sectionKind = iota
	sectionIDs
	sectionEarlier
)

// Section is a part of the index. The facts of one section stand in the log before all
// those of the next one, or behind them.
type Section struct {
	kind    sectionKind
	stretch uint64
}

// section is where the facts at seq have their entries of a term.
func (l Layout) section(t Term, seq uint64) Section {
	switch {
	case seq < l.Stretched:
		return Section{kind: sectionEarlier}
	case t.ordered():
		return Section{kind: sectionIDs}
	}
	return Section{kind: sectionStretch, stretch: seq >> stretchBits}
}

// AppendKey appends the index entry of one term of the fact at p.
func (l Layout) AppendKey(b []byte, t Term, p Place) []byte {
	s := l.section(t, p.Seq)
	b = s.appendSeq(s.AppendPrefix(b, t, p.InBundle()), p.Seq)
	if p.InBundle() {
		b = binary.BigEndian.AppendUint16(b, p.Part)
	}
	return b
}

// Sections returns the parts of the index that may hold entries of a term, in the order of
// the log.
func (l Layout) Sections(ctx context.Context, st store.Store, t Term) ([]Section, error) {
	var list []Section
	if l.Stretched > 1 {
		list = append(list, Section{kind: sectionEarlier})
	}
	if t.ordered() {
		return append(list, Section{kind: sectionIDs}), nil
	}
	var low, high uint64
	some := false
	for _, space := range []store.Space{store.SpaceFactTerms, store.SpaceStrangersTerms} {
		for _, reverse := range []bool{false, true} {
			r := space.All()
			r.Limit, r.Reverse = 1, reverse
			err := st.Scan(ctx, r, func(key, _ []byte) (bool, error) {
				if n, ok := parseStretch(key, space); ok {
					if !some {
						low, high = n, n
					}
					low, high, some = min(low, n), max(high, n), true
				}
				return false, nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	if some {
		for n := low; n <= high; n++ {
			list = append(list, Section{kind: sectionStretch, stretch: n})
		}
	}
	return list, nil
}

func parseStretch(key []byte, space store.Space) (uint64, bool) {
	if len(key) < len(space)+stretchOctets {
		return 0, false
	}
	var n uint64
	for _, c := range key[len(space) : len(space)+stretchOctets] {
		n = n<<8 | uint64(c)
	}
	return n, true
}

// AppendPrefix appends what all entries of a term in the section begin with.
func (s Section) AppendPrefix(b []byte, t Term, strangers bool) []byte {
	b = append(b, s.space(strangers)...)
	switch s.kind {
	case sectionStretch:
		b = appendUint(b, s.stretch, stretchOctets)
	case sectionEarlier:
		t = t.earlier()
	}
	b = append(b, t.field)
	return append(b, t.key[:t.n]...)
}

func (s Section) space(strangers bool) store.Space {
	switch {
	case s.kind == sectionStretch && strangers:
		return store.SpaceStrangersTerms
	case s.kind == sectionStretch:
		return store.SpaceFactTerms
	case s.kind == sectionIDs && strangers:
		return store.SpaceStrangersIDs
	case s.kind == sectionIDs:
		return store.SpaceFactIDs
	case strangers:
		return store.SpaceStrangersIndex
	}
	return store.SpaceFactIndex
}

// appendSeq appends what tells a fact of the section from the others of its term. In a
// stretch that is what the stretch does not say, and one beyond its last fact has a place too.
func (s Section) appendSeq(b []byte, seq uint64) []byte {
	if s.kind == sectionStretch {
		return appendUint(b, seq-s.stretch<<stretchBits, lowOctets)
	}
	return binary.BigEndian.AppendUint64(b, seq)
}

func appendUint(b []byte, n uint64, octets int) []byte {
	for i := octets - 1; i >= 0; i-- {
		b = append(b, byte(n>>(8*i)))
	}
	return b
}

// All returns every entry of a term in the section.
func (s Section) All(t Term, strangers bool) store.Range {
	return store.Prefix(s.AppendPrefix(nil, t, strangers))
}

// Range returns the entries of a term whose facts stand behind after and before before;
// false: the section has none of those.
func (s Section) Range(t Term, strangers bool, after, before uint64) (store.Range, bool) {
	from, to, ok := s.clip(after, before)
	if !ok {
		return store.Range{}, false
	}
	prefix := s.AppendPrefix(nil, t, strangers)
	end := len(prefix)
	return store.Range{From: s.appendSeq(prefix[:end:end], from), To: s.appendSeq(prefix[:end:end], to)}, true
}

// Between returns the entries of all terms from one to another, such as those of a
// network; false: none of the section's facts stand behind after and before before.
func (s Section) Between(first, last Term, strangers bool, after, before uint64) (store.Range, bool) {
	if _, _, ok := s.clip(after, before); !ok {
		return store.Range{}, false
	}
	return store.Range{From: s.AppendPrefix(nil, first, strangers), To: store.PrefixEnd(s.AppendPrefix(nil, last, strangers))}, true
}

// clip returns the facts of the section that stand behind after and before before, half open.
func (s Section) clip(after, before uint64) (from, to uint64, ok bool) {
	if after == ^uint64(0) {
		return 0, 0, false
	}
	from, to = after+1, before
	if s.kind == sectionStretch {
		from, to = max(from, s.stretch<<stretchBits), min(to, (s.stretch+1)<<stretchBits)
	}
	return from, to, from < to
}

// ParsePlace reads the place at the end of an entry of the section.
func (s Section) ParsePlace(key, value []byte, strangers bool) (Place, bool) {
	octets := SeqOctets
	if s.kind == sectionStretch {
		octets = lowOctets
	}
	tail := octets
	if strangers {
		tail += partOctets
	}
	if len(key) < tail {
		return Place{}, false
	}
	key = key[len(key)-tail:]
	var p Place
	for _, c := range key[:octets] {
		p.Seq = p.Seq<<8 | uint64(c)
	}
	if s.kind == sectionStretch {
		p.Seq += s.stretch << stretchBits
	}
	if !strangers {
		return p, true
	}
	id, err := mail.IDFromBytes(value)
	if err != nil || id.IsZero() {
		return Place{}, false
	}
	p.Bundle, p.Part = id, binary.BigEndian.Uint16(key[octets:])
	return p, true
}
