package hijack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"

	"sallyport/internal/kit/codec"
)

// ErrState says that octets are no stored state: of a version that is not known, cut, or
// with figures that no history leads to.
var ErrState = errors.New("hijack: not a stored state")

// The versions of what is stored. A new one is read beside the old.
const (
	stateVersion     = 3
	siteVersion      = 2
	attributeVersion = 1
)

// pacesBefore is how many paces the versions 1 have: what they do not tell is nothing. From statePatient on a state tells of
// the second bet on a pace.
const (
	pacesBefore  = 3
	statePatient = 3
)

// pacesOf reads a version, and tells how many paces follow; those of a version that is not known are none.
func (r *reader) pacesOf(now byte) (version byte, told int) {
	v := r.Octet()
	if v == 1 {
		return v, pacesBefore
	}
	r.Require(v > 1 && v <= now)
	return v, paces
}

// Append appends the stored form of the state: a version, then every figure in the order
// of the struct. Equal states have equal forms.
func (s State) Append(b []byte) []byte {
	b = append(b, stateVersion)
	b = appendWhole(b, s.high, int64(s.age), int64(s.claimed))
	b = appendFloats(b, s.begin, s.spent)
	for _, d := range s.shares {
		b = appendSmall(b, d.n, d.s, d.of, d.odd)
		b = appendFloats(b, d.evidence[:]...)
	}
	for _, d := range s.paces {
		b = appendSmall(b, d.n, d.hours, d.odd)
		b = appendFloats(b, d.evidence)
	}
	b = appendFloats(b, s.slow.evidence)
	b = appendSmall(b, s.slow.odd)
	b = appendYoung(b, s.fresh)
	for _, n := range s.left {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

// Restore reads what Append wrote, or ErrState.
func Restore(b []byte) (State, error) {
	var s State
	r := reader{codec.NewReader(b)}
	version, told := r.pacesOf(stateVersion)
	s.high = r.whole()
	s.age = r.span()
	s.claimed = Fingerprint(r.whole())
	s.begin, s.spent = r.float(), r.float()
	for i := range s.shares {
		d := &s.shares[i]
		d.n, d.s, d.of, d.odd = r.small(), r.small(), r.small(), r.small()
		for k := range d.evidence {
			d.evidence[k] = r.float()
		}
		r.Require(d.s <= d.n+rounding && d.odd <= d.of+rounding)
	}
	for i := range told {
		d := &s.paces[i]
		d.n, d.hours, d.odd, d.evidence = r.small(), r.small(), r.small(), r.float()
	}
	if version >= statePatient {
		s.slow.evidence, s.slow.odd = r.float(), r.small()
	}
	r.young(&s.fresh, told)
	for i := range s.left {
		s.left[i] = uint32(r.Number(math.MaxUint32))
	}
	if !r.Done() {
		return State{}, fmt.Errorf("%w: an account's", ErrState)
	}
	return s, nil
}

// Append appends the stored form of what is normal at the site.
func (w Site) Append(b []byte) []byte {
	b = append(b, siteVersion)
	b = appendWhole(b, w.high, int64(w.age))
	b = appendFloats(b, w.n[:]...)
	b = appendFloats(b, w.s[:]...)
	return appendYoung(b, w.fresh)
}

// RestoreSite reads what Site.Append wrote, or ErrState.
func RestoreSite(b []byte) (Site, error) {
	var w Site
	r := reader{codec.NewReader(b)}
	_, told := r.pacesOf(siteVersion)
	w.high, w.age = r.whole(), r.span()
	for i := range w.n {
		w.n[i] = r.float()
	}
	for i := range w.s {
		w.s[i] = r.float()
		r.Require(w.s[i] <= w.n[i]+rounding)
	}
	r.young(&w.fresh, told)
	if !r.Done() {
		return Site{}, fmt.Errorf("%w: the site's", ErrState)
	}
	return w, nil
}

// Append appends the stored form of what is known of a shared attribute.
func (a Attribute) Append(b []byte) []byte {
	b = append(b, attributeVersion)
	b = appendWhole(b, a.high, int64(a.age))
	b = appendSmall(b, a.n, a.s)
	b = appendFloats(b, a.evidence)
	for _, y := range a.fresh {
		b = appendSmall(b, y[:]...)
	}
	for _, f := range a.accounts {
		b = appendWhole(b, int64(f))
	}
	return b
}

// RestoreAttribute reads what Attribute.Append wrote, or ErrState.
func RestoreAttribute(b []byte) (Attribute, error) {
	var a Attribute
	r := reader{codec.NewReader(b)}
	r.Require(r.Octet() == attributeVersion)
	a.high, a.age = r.whole(), r.span()
	a.n, a.s, a.evidence = r.small(), r.small(), r.float()
	r.Require(a.s <= a.n+rounding)
	for i := range a.fresh {
		y := &a.fresh[i]
		y[0], y[1] = r.small(), r.small()
		r.Require(y[1] <= y[0]+rounding)
	}
	for i := range a.accounts {
		a.accounts[i] = Fingerprint(r.whole())
	}
	if !r.Done() {
		return Attribute{}, fmt.Errorf("%w: a shared attribute's", ErrState)
	}
	return a, nil
}

// rounding is what sums of float32 may differ by.
const rounding = 0.01

func appendWhole(b []byte, ns ...int64) []byte {
	for _, n := range ns {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

// appendFloats writes floats with their bits reversed: round ones end in zero bits, and so become
// short numbers.
func appendFloats(b []byte, xs ...float64) []byte {
	for _, x := range xs {
		b = binary.AppendUvarint(b, bits.ReverseBytes64(math.Float64bits(x)))
	}
	return b
}

func appendSmall(b []byte, xs ...float32) []byte {
	for _, x := range xs {
		b = binary.AppendUvarint(b, uint64(bits.ReverseBytes32(math.Float32bits(x))))
	}
	return b
}

func appendYoung(b []byte, all [daySlots]young) []byte {
	for _, y := range all {
		b = appendSmall(b, y.n[:]...)
		b = appendSmall(b, y.s[:]...)
		b = appendSmall(b, y.rate[:]...)
	}
	return b
}

// reader reads figures, none of them less than nothing.
type reader struct{ codec.Reader }

func (r *reader) whole() int64 { return int64(r.Number(math.MaxUint64)) }

func (r *reader) span() time.Duration { return time.Duration(r.Number(math.MaxInt64)) }

// mostFigure is more than any figure of a state can be: a sum of evidence or of counts.
const mostFigure = 1e15

func (r *reader) float() float64 {
	x := math.Float64frombits(bits.ReverseBytes64(r.Number(math.MaxUint64)))
	return r.figure(x)
}

func (r *reader) small() float32 {
	return float32(r.figure(float64(math.Float32frombits(bits.ReverseBytes32(uint32(r.Number(math.MaxUint32)))))))
}

func (r *reader) figure(x float64) float64 {
	if !(x >= 0 && x <= mostFigure) || math.Signbit(x) {
		r.Require(false)
		return 0
	}
	return x
}

// young reads what is not learnt yet, with so many paces.
func (r *reader) young(all *[daySlots]young, told int) {
	for i := range all {
		y := &all[i]
		for k := range y.n {
			y.n[k] = r.small()
		}
		for k := range y.s {
			y.s[k] = r.small()
			r.Require(y.s[k] <= y.n[k]+rounding)
		}
		for k := range told {
			y.rate[k] = r.small()
		}
	}
}
