package wire

import (
	"io"
	"sync"
)

const (
	// SmallBufferOctets is what a LineReader holds while it waits for a command.
	SmallBufferOctets = 512
	// LargeBufferOctets is what it borrows for longer lines and for messages.
	LargeBufferOctets = 32 << 10
)

// Buffers lends the large buffers of the LineReaders of one server. It is safe for
// use by many goroutines. Its zero value is ready.
type Buffers struct{ pool sync.Pool }

func (b *Buffers) get() *[LargeBufferOctets]byte {
	if p, ok := b.pool.Get().(*[LargeBufferOctets]byte); ok {
		return p
	}
	return new([LargeBufferOctets]byte)
}

func (b *Buffers) put(p *[LargeBufferOctets]byte) { b.pool.Put(p) }

// LineLimit says how long a line that begins with start may be, in octets with its
// CRLF. start has at least four octets, unless the line is shorter.
type LineLimit func(start []byte) int

// LineReader reads lines that end with exactly CRLF, and whatever else follows
// them, from one buffer: no octet is taken by two readers. It holds
// SmallBufferOctets, and LargeBufferOctets only while so many come: a client that lets
// octets drip, or says nothing, has them no more than one that sends a command.
//
// After ErrBareCR, ErrBareLF, ErrNUL or ErrLineTooLong it must not be read on.
type LineReader struct {
	src     io.Reader
	buffers *Buffers
	ration  Ration // of what the large buffers may take; nil: they may
	buf     []byte
	small   []byte // what buf is while large is nil; kept until Close
	large   *[LargeBufferOctets]byte
	r, w    int
	busy    bool  // the last read filled the buffer: more is on its way
	few     bool  // the last read brought what a small buffer holds
	err     error // came with octets; returned once they are used
}

// Ration bounds memory that others share.
type Ration interface {
	// Take takes octets, or reports that there are not so many.
	Take(octets int64) bool
	// Give gives them back.
	Give(octets int64)
}

// Within makes l ask before it borrows a large buffer.
func (l *LineReader) Within(r Ration) { l.ration = r }

// NewLineReader returns a LineReader of src that borrows from buffers.
func NewLineReader(src io.Reader, buffers *Buffers) *LineReader {
	return &LineReader{src: src, buffers: buffers}
}

// Reset makes l read from another source. It must have nothing buffered: octets
// that came before a mode switch are never carried into the new mode.
func (l *LineReader) Reset(src io.Reader) {
	l.src, l.r, l.w, l.err, l.busy = src, 0, 0, nil, false
	l.Release()
}

// Buffered returns how many octets were read from the source and not yet used.
func (l *LineReader) Buffered() int { return l.w - l.r }

// Release gives a borrowed buffer back if nothing is in it. A small one is kept.
func (l *LineReader) Release() {
	if l.large == nil || l.r != l.w {
		return
	}
	l.giveBack()
	l.buf, l.r, l.w, l.busy = l.small, 0, 0, false
}

// giveBack gives the large buffer back, if there is one.
func (l *LineReader) giveBack() {
	if l.large == nil {
		return
	}
	l.buffers.put(l.large)
	if l.ration != nil {
		l.ration.Give(LargeBufferOctets)
	}
	l.large = nil
}

// Close gives a borrowed buffer back with whatever is in it, and drops the small one. Nothing can be read any
// more that was buffered; what comes next is.
func (l *LineReader) Close() {
	l.giveBack()
	l.buf, l.small, l.r, l.w, l.busy = nil, nil, 0, 0, false
}

// ReadLine returns the next line without its CRLF. It is valid until the next call
// of any method. The source's error is returned only when the buffer holds no
// whole line; a line that was begun then is lost, never returned in part.
func (l *LineReader) ReadLine(limit LineLimit) ([]byte, error) {
	scanned := 0
	for {
		if line, ok, err := l.cutLine(&scanned, limit); ok || err != nil {
			return line, err
		}
		if err := l.Fill(); err != nil {
			if err == io.EOF && l.Buffered() > 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// cutLine takes a whole line off the buffer if there is one. scanned counts the
// octets known to hold no line end.
func (l *LineReader) cutLine(scanned *int, limit LineLimit) (line []byte, ok bool, err error) {
	pending := l.buf[l.r:l.w]
	n, err := scanLine(pending[*scanned:])
	n += *scanned
	whole := err == nil && n > 0 && pending[n-1] == '\n'
	// The limit is judged before the fault, so that the verdict does not depend on
	// how the octets were cut into packets.
	if limit := l.limit(pending, limit); n > limit || !whole && n+1 >= limit {
		return nil, false, ErrLineTooLong
	}
	if err != nil {
		return nil, false, err
	}
	if !whole {
		*scanned = n
		return nil, false, nil
	}
	l.r += n
	return pending[:n-2], true, nil
}

// limit asks for the limit of the pending line, but never for more than the large
// buffer can hold, and not before the line shows what it is.
func (l *LineReader) limit(pending []byte, limit LineLimit) int {
	if len(pending) < len("MAIL") {
		return LargeBufferOctets
	}
	return min(limit(pending), LargeBufferOctets)
}

// Fill reads more from the source behind what is buffered. It is ErrLineTooLong
// when even the large buffer is full, and ErrNoBuffer when there is none to be had.
func (l *LineReader) Fill() error {
	if err := l.err; err != nil {
		l.err = nil
		return err
	}
	l.makeRoom()
	switch {
	case l.w == len(l.buf) && l.large == nil:
		return ErrNoBuffer
	case l.w == len(l.buf):
		return ErrLineTooLong
	}
	for range maxEmptyReads {
		n, err := l.src.Read(l.buf[l.w:])
		if n < 0 || n > len(l.buf)-l.w {
			return io.ErrNoProgress
		}
		l.w += n
		l.busy, l.few = l.w == len(l.buf), n < SmallBufferOctets
		if n > 0 {
			l.err = err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// maxEmptyReads bounds reads that return neither octets nor an error.
const maxEmptyReads = 100

// makeRoom moves what is buffered to the front, and to a large buffer when a small
// one is full or was filled by the last read. A large one that is empty goes back when
// the last read brought little.
func (l *LineReader) makeRoom() {
	if l.r == l.w {
		l.r, l.w = 0, 0
		if l.few && !l.busy {
			l.Release()
		}
	}
	if l.buf == nil {
		l.small = make([]byte, SmallBufferOctets)
		l.buf = l.small
	}
	if l.large == nil && (l.busy || l.w-l.r == len(l.buf)) && l.Grow() {
		return
	}
	if l.r > 0 {
		l.w = copy(l.buf, l.buf[l.r:l.w])
		l.r = 0
	}
}

// Grow borrows a large buffer now. It reports whether there is one.
func (l *LineReader) Grow() bool {
	if l.large != nil {
		return true
	}
	if l.ration != nil && !l.ration.Take(LargeBufferOctets) {
		return false
	}
	l.large = l.buffers.get()
	l.w = copy(l.large[:], l.buf[l.r:l.w])
	l.r, l.buf = 0, l.large[:]
	return true
}

// Peek returns what is buffered; it is valid until the next call of any method.
func (l *LineReader) Peek() []byte { return l.buf[l.r:l.w] }

// Discard takes n buffered octets off; more than are buffered are not taken.
func (l *LineReader) Discard(n int) { l.r += min(max(n, 0), l.w-l.r) }
