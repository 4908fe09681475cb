// Package chunks reads the logs of Pebble, its write-ahead logs and its manifests, also where one of
// their bits flipped, and behind a place that nobody can read any more.
//
// Pebble itself stops at the first chunk that does not read, and takes what follows for the remains of
// a crash unless something says otherwise, so that rot near the end of a log, and anywhere in a manifest,
// would be a silent loss. This package promises:
//
//   - A chunk of which one bit flipped is put right: its checksum says which bit that was.
//   - Records behind a break are found all the same.
//   - A break counts as rot only where the log itself says that it was whole there: what follows
//     promises it, or the caller knows that the log was synced to its end. Otherwise it is the end that a
//     crash left, and what lies behind it was never synced. That a log ends with a trailer says
//     nothing: the trailer is written before it is synced, and may outlive what lies before it.
package chunks

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

const (
	block = 32 << 10 // octets of each part that a log is divided into; no chunk crosses the end of one

	headerLegacy  = 7  // checksum, length, kind
	headerRecycle = 11 // and the number of the log
	headerSync    = 19 // and how far the log was synced
)

// Kind says what a log is.
type Kind uint8

const (
	// Manifest is a log whose chunks bear no number.
	Manifest Kind = iota
	// Newest is the write-ahead log that was written last: it may end anywhere, and where the power went while it
	// was closed, its trailer may be there without what lies before it.
	Newest
	// Ended is a write-ahead log that is known to have been synced to its end: another one was begun behind it, or
	// somebody noted it.
	Ended
)

// Break is a part of a log that did not read.
type Break struct {
	From, To int
	Fixed    bool // it was one bit, and is put right
}

// Log is what a log holds.
type Log struct {
	Records [][]byte // that are whole, in their order; parts of Text, where each is in one piece
	Breaks  []Break  // that are rot
	Closed  bool     // it ends with a trailer
	// Text is the log with the bits put right: what was read, where there were none.
	Text []byte
	// Sound is how much of Text is read by Pebble: up to its end, or to the first break.
	Sound int
}

// Lost reports whether something of the log cannot be read any more.
func (l Log) Lost() bool {
	for _, b := range l.Breaks {
		if !b.Fixed {
			return true
		}
	}
	return false
}

// chunk is one chunk of a log.
type chunk struct {
	at, end int // with its header
	header  int
	place   byte // full, first, middle, last
	synced  uint64
}

const (
	full byte = iota + 1
	first
	middle
	last
)

type reader struct {
	text   []byte
	owned  bool // text is a copy of what is read
	number uint32
	kind   Kind
	legacy bool // chunks without a number: a manifest, or a log that was salvaged
	chunks []chunk
	breaks []Break
	closed bool
	end    int // behind the last chunk
}

// Read reads a log; number is that in its name. What it returns has parts of text, which nobody may change any more, nor read
// while it reads: a log has tens of MiB, and is held once.
func Read(text []byte, number uint64, kind Kind) Log {
	r := newReader(text, number, kind, kind == Manifest)
	if len(r.chunks) == 0 && kind != Manifest {
		// A log that was salvaged once has chunks without a number.
		if salvaged := newReader(text, number, kind, true); len(salvaged.chunks) > 0 {
			r = salvaged
		}
	}
	return r.judge()
}

func newReader(text []byte, number uint64, kind Kind, legacy bool) *reader {
	r := &reader{text: text, number: uint32(number), kind: kind, legacy: legacy}
	for at := 0; at < len(r.text) && !r.closed; at += block {
		r.readBlock(at, min(at+block, len(r.text)))
	}
	return r
}

// readBlock reads the chunks of one block.
func (r *reader) readBlock(at, end int) {
	for at+headerLegacy <= end && !r.closed {
		if c, ok := r.chunkAt(at, end); ok {
			r.chunks = append(r.chunks, c)
			at = c.end
			continue
		}
		if end-at < headerSync && end%block == 0 && isZero(r.text[at:end]) {
			return // the rest of a block that was too small for a chunk
		}
		if r.trailerAt(at, end) {
			r.closed, r.end = true, at
			return
		}
		if bit, ok := r.flipped(at, end); ok {
			r.own()
			r.text[bit/8] ^= 1 << (bit % 8)
			r.breaks = append(r.breaks, Break{bit / 8, bit/8 + 1, true})
			continue
		}
		next := r.resync(at+1, end)
		r.breaks = append(r.breaks, Break{at, next, false})
		at = next
	}
}

// own has bits put right in a copy.
func (r *reader) own() {
	if !r.owned {
		r.text, r.owned = append([]byte(nil), r.text...), true
	}
}

// form returns where the payload of a chunk of that kind begins, and which part of a record it is.
func (r *reader) form(kind byte) (header int, place byte, ok bool) {
	switch {
	case r.legacy && kind >= 1 && kind <= 4:
		return headerLegacy, kind, true
	case !r.legacy && kind >= 5 && kind <= 8:
		return headerRecycle, kind - 4, true
	case !r.legacy && kind >= 9 && kind <= 12:
		return headerSync, kind - 8, true
	}
	return 0, 0, false
}

// bounds returns where the chunk would lie, if its kind and its length are those.
func (r *reader) bounds(at, end int, kind byte, length int) (c chunk, ok bool) {
	h, place, ok := r.form(kind)
	c = chunk{at: at, end: at + h + length, header: h, place: place}
	return c, ok && c.end <= end
}

// chunkAt returns the chunk at a place, if a whole one is there.
func (r *reader) chunkAt(at, end int) (chunk, bool) {
	c, ok := r.bounds(at, end, r.text[at+6], int(binary.LittleEndian.Uint16(r.text[at+4:])))
	if !ok || !r.ours(c) || sum(r.text[at+6:c.end]) != binary.LittleEndian.Uint32(r.text[at:]) {
		return chunk{}, false
	}
	if c.header == headerSync {
		c.synced = binary.LittleEndian.Uint64(r.text[at+headerRecycle:])
	}
	return c, true
}

// ours reports whether a chunk is of this log, and not of the one whose file it was.
func (r *reader) ours(c chunk) bool {
	return c.header == headerLegacy || binary.LittleEndian.Uint32(r.text[c.at+headerLegacy:]) == r.number
}

// trailer is what a log ends with that was closed: a chunk of nothing, of the next log.
func (r *reader) trailer() (t [headerRecycle]byte) {
	t[6] = 5
	binary.LittleEndian.PutUint32(t[headerLegacy:], r.number+1)
	return t
}

func (r *reader) trailerAt(at, end int) bool {
	return !r.legacy && at+headerRecycle <= end && r.trailer() == [headerRecycle]byte(r.text[at:at+headerRecycle])
}

// resync returns where the next chunk of the block begins, or its end.
func (r *reader) resync(at, end int) int {
	for ; at+headerLegacy <= end; at++ {
		if _, ok := r.chunkAt(at, end); ok || r.trailerAt(at, end) {
			return at
		}
	}
	return end
}

// judge says which breaks are rot, and puts the records together.
func (r *reader) judge() Log {
	l := Log{Closed: r.closed, Text: r.text}
	promised := uint64(0)
	for i := range r.chunks {
		promised = max(promised, r.chunks[i].synced)
	}
	whole := r.kind == Ended || r.legacy && r.kind != Manifest
	if !r.closed && len(r.chunks) > 0 {
		r.end = r.chunks[len(r.chunks)-1].end
	}
	stop, sound := r.end, r.end
	for _, b := range r.breaks {
		behind := b.From < r.end // something whole follows
		rot := b.Fixed || behind && (whole || r.kind == Manifest || uint64(b.From) < promised)
		if r.kind == Ended && !r.closed && !behind {
			rot = true // it was to be whole up to its end
		}
		if rot {
			l.Breaks = append(l.Breaks, b)
		} else {
			stop = min(stop, b.From)
		}
		if !b.Fixed {
			sound = min(sound, b.From)
		}
	}
	l.Sound = min(sound, stop)
	l.Records = r.records(stop)
	return l
}

// records puts chunks together that lie before a place.
func (r *reader) records(stop int) (all [][]byte) {
	var part []byte
	open, next := false, 0
	for _, c := range r.chunks {
		if c.at >= stop {
			break
		}
		payload := r.text[c.at+c.header : c.end]
		if open && !r.follows(next, c.at) {
			open = false
		}
		next = c.end
		switch {
		case c.place == full:
			all, open = append(all, payload[:len(payload):len(payload)]), false
		case c.place == first:
			part, open = append([]byte(nil), payload...), true
		case open:
			part = append(part, payload...)
			if c.place == last {
				all, open = append(all, part), false
			}
		}
	}
	return all
}

// follows reports whether nothing is missing between two chunks.
func (r *reader) follows(end, next int) bool {
	return end == next || next%block == 0 && next-end < headerSync && next > end
}

// sum is Pebble's checksum.
func sum(b []byte) uint32 {
	c := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}

// bare undoes what Pebble does to a checksum, so that it is linear.
func bare(masked uint32) uint32 {
	c := masked - 0xa282ead8
	return c>>17 | c<<15
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// flipped returns the one bit that makes a chunk, an end or the rest of a block whole.
func (r *reader) flipped(at, end int) (bit int, ok bool) {
	if rest := r.text[at:end]; len(rest) < headerSync && end%block == 0 {
		if bit, ok := oneBit(rest, make([]byte, len(rest))); ok {
			return at*8 + bit, true
		}
	}
	if t := r.trailer(); !r.legacy && at+headerRecycle <= end {
		if bit, ok := oneBit(r.text[at:at+headerRecycle], t[:]); ok {
			return at*8 + bit, true
		}
	}
	if bit, ok := r.inForm(at, end); ok {
		return bit, true
	}
	c, ok := r.bounds(at, end, r.text[at+6], int(binary.LittleEndian.Uint16(r.text[at+4:])))
	if !ok {
		return 0, false
	}
	have, want := sum(r.text[at+6:c.end]), binary.LittleEndian.Uint32(r.text[at:])
	if bits.OnesCount32(have^want) == 1 && r.ours(c) {
		return at*8 + bits.TrailingZeros32(have^want), true
	}
	bit, ok = located(r.text[at+6:c.end], bare(have)^bare(want))
	if !ok {
		return 0, false
	}
	bit += (at + 6) * 8
	return bit, r.fits(bit, at, end)
}

// inForm tries each bit of the length and the kind: they say where the payload lies.
func (r *reader) inForm(at, end int) (bit int, ok bool) {
	for bit := (at + 4) * 8; bit < (at+headerLegacy)*8; bit++ {
		if r.fits(bit, at, end) {
			return bit, true
		}
	}
	return 0, false
}

// fits reports whether the flip of a bit makes a whole chunk.
func (r *reader) fits(bit, at, end int) bool {
	r.text[bit/8] ^= 1 << (bit % 8)
	_, ok := r.chunkAt(at, end)
	r.text[bit/8] ^= 1 << (bit % 8)
	return ok
}

// oneBit returns the one bit in which two texts of the same length differ.
func oneBit(a, b []byte) (bit int, ok bool) {
	n := 0
	for i := range a {
		if d := a[i] ^ b[i]; d != 0 {
			n += bits.OnesCount8(d)
			bit = i*8 + bits.TrailingZeros8(d)
		}
	}
	return bit, n == 1
}

// located returns the bit whose flip changes a checksum by that much. A checksum is linear: what the
// flip of a bit does to it depends on how much follows that bit, and on nothing else.
func located(b []byte, change uint32) (bit int, ok bool) {
	if change == 0 {
		return 0, false
	}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	var effect [8]uint32
	for i := range effect {
		effect[i] = castagnoli[1<<i]
	}
	for at := len(b) - 1; at >= 0; at-- {
		for i, e := range effect {
			if e == change {
				return at*8 + i, true
			}
			effect[i] = castagnoli[byte(e)] ^ e>>8
		}
	}
	return 0, false
}
