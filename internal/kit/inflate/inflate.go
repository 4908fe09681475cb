// Package inflate reads a compressed stream (DEFLATE, RFC 1951) as it comes: whatever the octets
// that have arrived say is returned before anything more is waited for.
//
// Readers in libraries return what they know when a block of stored octets comes, at which
// compressors byte-align with a full flush, and wait inside a read otherwise. Programs that flush
// partly, as zlib's Z_PARTIAL_FLUSH does, say a whole command and are never answered by them.
//
// It holds a window of 32 KiB and the tables of one block, whatever comes.
package inflate

import (
	"bufio"
	"errors"
	"io"
)

// ErrCorrupt says that the stream is none. What follows cannot be known.
var ErrCorrupt = errors.New("inflate: the compressed stream is damaged")

// window is how far back a stream may refer. RFC 1951 §2.
const window = 32 << 10

// Reader takes what a stream says. One goroutine uses it.
type Reader struct {
	in   *bufio.Reader
	bits uint64 // that were read and not used yet, the first one lowest
	have uint   // how many there are

	next  func(*Reader, []byte) (int, error) // what comes
	left  int                                // of a stored block
	last  bool                               // the block is the last one
	lens  table                              // of literals and lengths
	dists table
	fixed *tables // made when they are wanted first

	back  [window]byte // what was said, round and round
	at    int          // where the next octet goes
	known int          // how much of back is known
	copy  int          // octets that are still to be repeated
	from  int          // from how far back
	err   error        // of the stream; nothing comes after it
}

type tables struct{ lens, dists table }

// NewReader reads from in, of which it takes no octet that belongs to nothing it returns or waits
// for.
func NewReader(in *bufio.Reader) *Reader { return &Reader{in: in, next: (*Reader).header} }

// How a step tells that it is not done.
var (
	errWait  = errors.New("inflate: more must arrive")
	errFirst = errors.New("inflate: what is known goes first")
)

// Read implements io.Reader. Its errors are ErrCorrupt, io.EOF behind the last block, and those of
// what it reads from; io.ErrUnexpectedEOF where that ends within the stream.
func (r *Reader) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.err == nil && n < len(p) {
		var m int
		m, err = r.next(r, p[n:])
		n += m
		switch {
		case err == errFirst && n > 0, err == errWait && n > 0 && r.in.Buffered() == 0:
			return n, nil // what is known now
		case err == errFirst:
			err = nil
		case err == errWait:
			err = r.fill()
		}
		r.err = err
	}
	if n > 0 {
		return n, nil // an error shows again at the next read
	}
	return 0, r.err
}

// fill waits for one more octet.
func (r *Reader) fill() error {
	b, err := r.in.ReadByte()
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	}
	r.bits |= uint64(b) << r.have
	r.have += 8
	return nil
}

// take uses n bits, which are there.
func (r *Reader) take(n uint) int {
	v := int(r.bits & (1<<n - 1))
	r.bits >>= n
	r.have -= n
	return v
}

// need waits for n bits within the description of a block, behind which nothing is kept back.
func (r *Reader) need(n uint) (int, error) {
	for r.have < n {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	return r.take(n), nil
}

// header reads what a block is. RFC 1951 §3.2.3.
func (r *Reader) header(_ []byte) (int, error) {
	if r.last {
		return 0, io.EOF
	}
	if r.have < 3 {
		return 0, errWait
	}
	first := r.bits & 7
	switch first >> 1 {
	case 0:
		// §3.2.4: its lengths begin with the next octet.
		if pad := (r.have - 3) % 8; r.have < 3+pad+32 {
			return 0, errWait
		}
		r.take(3)
		r.take(r.have % 8)
		n, not := r.take(16), r.take(16)
		if n != ^not&0xffff {
			return 0, ErrCorrupt
		}
		r.left, r.next = n, (*Reader).stored
	case 1:
		r.take(3)
		r.lens, r.dists = r.fixedTables()
		r.next = (*Reader).symbols
	case 2:
		r.next = (*Reader).described
		return 0, errFirst
	default:
		return 0, ErrCorrupt
	}
	r.last = first&1 == 1
	return 0, nil
}

// described reads the tables of a block, and waits for them: nothing that was said before is kept
// back. RFC 1951 §3.2.7.
func (r *Reader) described(_ []byte) (int, error) {
	r.last = r.take(3)&1 == 1
	if err := r.describe(); err != nil {
		return 0, err
	}
	r.next = (*Reader).symbols
	return 0, nil
}

// stored takes octets as they are.
func (r *Reader) stored(p []byte) (n int, err error) {
	for ; n < len(p) && r.left > 0; n++ {
		if r.have < 8 {
			return n, errWait
		}
		p[n] = byte(r.take(8))
		r.say(p[n])
		r.left--
	}
	if r.left == 0 {
		r.next = (*Reader).header
	}
	return n, nil
}

// say notes an octet that was said.
func (r *Reader) say(b byte) {
	r.back[r.at] = b
	r.at = (r.at + 1) % window
	r.known = min(r.known+1, window)
}

// Lengths and distances. RFC 1951 §3.2.5.
var (
	lengthBase = [...]int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthMore = [...]uint{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase   = [...]int{
		1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073,
		4097, 6145, 8193, 12289, 16385, 24577,
	}
	distMore = [...]uint{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

const endOfBlock = 256

// symbols takes literals and repetitions. Nothing of a symbol is used before all of it is there.
func (r *Reader) symbols(p []byte) (n int, err error) {
	for n < len(p) {
		if r.copy > 0 {
			p[n] = r.back[(r.at-r.from+window)%window]
			r.say(p[n])
			r.copy--
			n++
			continue
		}
		symbol, used, err := r.lens.decode(r.bits, r.have)
		switch {
		case err != nil:
			return n, err
		case symbol < endOfBlock:
			r.take(used)
			p[n] = byte(symbol)
			r.say(p[n])
			n++
		case symbol == endOfBlock:
			r.take(used)
			r.next = (*Reader).header
			return n, nil
		default:
			if err := r.repeat(symbol-endOfBlock-1, used); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// repeat begins a repetition, if all of its description is there.
func (r *Reader) repeat(length int, used uint) error {
	if length >= len(lengthBase) {
		return ErrCorrupt
	}
	more := lengthMore[length]
	if r.have < used+more {
		return errWait
	}
	octets := lengthBase[length] + int(r.bits>>used&(1<<more-1))
	used += more
	dist, n, err := r.dists.decode(r.bits>>used, r.have-used)
	if err != nil {
		return err
	}
	if dist >= len(distBase) {
		return ErrCorrupt
	}
	used, more = used+n, distMore[dist]
	if r.have < used+more {
		return errWait
	}
	from := distBase[dist] + int(r.bits>>used&(1<<more-1))
	if from > r.known {
		return ErrCorrupt
	}
	r.take(used + more)
	r.copy, r.from = octets, from
	return nil
}
