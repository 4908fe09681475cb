// Package codec encodes and decodes the values that packages keep in the store. Binary records are
// read by a Reader, from which nothing can be read after its first fault; JSON ones by Decode,
// which takes nothing that it does not know. What a record means, and whether it is whole, says
// the room that it belongs to.
package codec

import (
	"encoding/binary"
	"math/bits"
	"time"
)

// Reader reads a binary record from its begin. The first fault sticks: all that is
// read after it is zero, and Failed says so at the end.
type Reader struct {
	rest   []byte
	whole  string // that rest is the end of; empty: each text is a copy of its own
	failed bool
}

// NewReader reads b.
func NewReader(b []byte) Reader { return Reader{rest: b} }

// NewTextReader reads b, which is mostly texts that are kept together: they share one copy of it.
func NewTextReader(b []byte) Reader { return Reader{rest: b, whole: string(b)} }

// Require faults the record unless ok.
func (r *Reader) Require(ok bool) { r.failed = r.failed || !ok }

// Failed reports whether anything was not as it should be.
func (r *Reader) Failed() bool { return r.failed }

// Done reports whether the record was read without fault, and to its end.
func (r *Reader) Done() bool { return !r.failed && len(r.rest) == 0 }

// Left returns how many octets are left. A record that says how many items follow
// cannot hold more of them than that: Number(uint64(r.Left())).
func (r *Reader) Left() int { return len(r.rest) }

// Take returns the next n octets, which belong to the record; nil if it has not so
// many.
func (r *Reader) Take(n int) []byte {
	if r.failed || n < 0 || n > len(r.rest) {
		r.failed = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// Rest returns all that is left.
func (r *Reader) Rest() []byte { return r.Take(len(r.rest)) }

// Octet returns the next octet.
func (r *Reader) Octet() byte {
	if b := r.Take(1); b != nil {
		return b[0]
	}
	return 0
}

// Number reads what binary.AppendUvarint wrote, of at most limit. A longer form of the
// same number is a fault: there is one record for each value.
func (r *Reader) Number(limit uint64) uint64 {
	n, size := binary.Uvarint(r.rest)
	if r.failed || size != uvarintOctets(n) || n > limit {
		r.failed = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// uvarintOctets is the length of a number: seven bits an octet.
func uvarintOctets(n uint64) int { return max(1, (bits.Len64(n)+6)/7) }

// Text reads what AppendText wrote.
func (r *Reader) Text() string {
	b := r.text()
	if r.whole == "" || len(b) == 0 {
		return string(b)
	}
	end := len(r.whole) - len(r.rest)
	return r.whole[end-len(b) : end]
}

// Octets reads what AppendText wrote and returns a copy, since records are scanned from
// memory that is reused; nil if it is empty.
func (r *Reader) Octets() []byte {
	b := r.text()
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

func (r *Reader) text() []byte { return r.Take(int(r.Number(uint64(len(r.rest))))) }

// Time reads what AppendTime wrote.
func (r *Reader) Time() time.Time {
	n, size := binary.Varint(r.rest)
	if r.failed || size <= 0 {
		r.failed = true
		return time.Time{}
	}
	r.rest = r.rest[size:]
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// AppendText writes a text with its length.
func AppendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// AppendTime writes a time in nanoseconds since 1970; the zero time is 0.
func AppendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixNano())
}
