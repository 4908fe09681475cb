package dkim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// bodyHash hashes a body in its canonical form while it arrives, in one pass and
// bounded memory.
type bodyHash struct {
	canon Canon
	limit int64 // l=; -1: none
	hash  hash.Hash

	total int64 // octets of the canonical form so far
	ends  int64 // line ends that count only if something follows them
	cr    bool  // the last octet was a CR
	blank bool  // white space that counts only if something follows it in its line
	fresh bool  // at the start of a line; for the relaxed form
	any   bool  // something else than line ends was there
	sum   []byte
}

func newBodyHash(c Canon, limit int64) *bodyHash {
	return &bodyHash{canon: c, limit: limit, hash: sha256.New(), fresh: true}
}

// crlfs is what line ends are written from, many at once.
const crlfs = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"

// write takes the next octets of the body.
func (b *bodyHash) write(p []byte) {
	if b.canon == Simple {
		b.writeSimple(p)
		return
	}
	b.writeRelaxed(p)
}

// writeSimple leaves out the empty lines at the end alone. RFC 6376 §3.4.3.
func (b *bodyHash) writeSimple(p []byte) {
	if len(p) == 0 {
		return
	}
	if b.cr {
		b.cr = false
		if p[0] == '\n' {
			b.ends++
			p = p[1:]
		} else {
			b.emit([]byte{'\r'})
		}
	}
	if len(p) > 0 && p[len(p)-1] == '\r' {
		b.cr = true
		p = p[:len(p)-1]
	}
	n := len(p)
	for bytes.HasSuffix(p[:n], []byte("\r\n")) {
		n -= 2
	}
	if n > 0 {
		b.emit(p[:n])
	}
	b.ends += int64(len(p)-n) / 2
}

// writeRelaxed also makes white space within lines one space and leaves it out at
// their ends. RFC 6376 §3.4.4.
func (b *bodyHash) writeRelaxed(p []byte) {
	for len(p) > 0 {
		if b.fresh && !b.cr && !b.blank {
			if n := cleanLines(p); n > 0 {
				b.emit(p[:n-2])
				b.ends, p = 1, p[n:]
				continue
			}
		}
		n := bytes.IndexByte(p, '\n') + 1
		if n == 0 {
			n = len(p)
		}
		b.reduce(p[:n])
		p = p[n:]
	}
}

// cleanLines returns how many octets of whole lines at the start of p, none of them
// empty, are in their relaxed form already: most of a message is.
func cleanLines(p []byte) int {
	at := 0
	for {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 2 || p[at+i-1] != '\r' || !clean(p[at:at+i]) {
			return at
		}
		at += i + 1
	}
}

// clean reports whether a line, which ends with its CR, has no tab and no space before
// another space or a CR. It may say no of a line in which a CR stands elsewhere too.
func clean(line []byte) bool {
	const (
		each  = 0x0101010101010101
		tab   = each * '\t'
		space = each * ' '
		cr    = each * '\r'
	)
	before := uint64(0) // its highest bit: the octet before was a space
	for ; len(line) >= 8; line = line[8:] {
		w := binary.LittleEndian.Uint64(line)
		s := equal(w ^ space)
		if equal(w^tab)|(s|equal(w^cr))&(s<<8|before>>56) != 0 {
			return false
		}
		before = s
	}
	last := before>>63 != 0
	for _, c := range line {
		if c == '\t' || last && (c == ' ' || c == '\r') {
			return false
		}
		last = c == ' '
	}
	return true
}

// equal sets the highest bit of each octet of x that is zero, and no other.
func equal(x uint64) uint64 {
	const low = 0x7f7f7f7f7f7f7f7f
	return ^((x&low + low) | x | low)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// reduce takes a part of a line, or a line with its end, octet by octet.
func (b *bodyHash) reduce(p []byte) {
	var out [256]byte
	n := 0
	put := func(c byte) {
		if n == len(out) {
			b.emit(out[:n])
			n = 0
		}
		out[n] = c
		n++
	}
	plain := func(c byte) {
		if b.blank {
			put(' ')
		}
		b.blank, b.fresh = false, false
		put(c)
	}
	for _, c := range p {
		if b.cr {
			b.cr = false
			if c == '\n' {
				if n > 0 {
					b.emit(out[:n])
					n = 0
				}
				b.ends++
				b.blank, b.fresh = false, true
				continue
			}
			plain('\r')
		}
		switch c {
		case '\r':
			b.cr = true
		case ' ', '\t':
			b.blank = true
		default:
			plain(c)
		}
	}
	if n > 0 {
		b.emit(out[:n])
	}
}

// emit writes octets of the canonical form, behind the line ends that wait.
func (b *bodyHash) emit(p []byte) {
	for b.ends > 0 {
		n := min(b.ends, int64(len(crlfs)/2))
		b.add([]byte(crlfs[:2*n]))
		b.ends -= n
	}
	b.any = true
	b.add(p)
}

func (b *bodyHash) add(p []byte) {
	left := len(p)
	if b.limit >= 0 {
		left = int(max(0, min(int64(left), b.limit-b.total)))
	}
	b.total += int64(len(p))
	b.hash.Write(p[:left])
}

// finish ends the body and returns its hash. It may be repeated.
func (b *bodyHash) finish() []byte {
	if b.sum != nil {
		return b.sum
	}
	if b.cr {
		b.cr = false
		if b.blank && b.canon == Relaxed {
			b.emit([]byte{' '})
		}
		b.emit([]byte{'\r'})
	}
	// RFC 6376 §3.4.3: the empty body is one line end in the simple form, and
	// nothing in the relaxed one (§3.4.4).
	if b.any || b.canon == Simple {
		b.add([]byte("\r\n"))
	}
	b.sum = b.hash.Sum(nil)
	return b.sum
}
