package server

import (
	"errors"
	"io"
)

// errTooLarge is a message beyond Limits.MessageOctets.
var errTooLarge = errors.New("the message is too large")

// pieces is a message as it comes: Next returns its next octets, at least one,
// valid until the next call, and io.EOF only behind its true end.
type pieces interface{ Next() ([]byte, error) }

// body is what Transaction.Data reads. It remembers how the message ended, which
// decides what is answered: see conclude.
type body struct {
	src    pieces
	rest   []byte // of the piece that is being read
	octets int64
	limit  int64
	whole  func() // called at the true end; may be nil
	err    error  // final; io.EOF at the true end
}

var _ io.WriterTo = (*body)(nil)

// next returns octets of the message, none of which were returned before.
func (b *body) next() ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	p, err := b.src.Next()
	if err != nil {
		b.err = err
		if err == io.EOF && b.whole != nil {
			b.whole()
		}
		return nil, err
	}
	b.octets += int64(len(p))
	if b.octets > b.limit {
		b.err = errTooLarge
		return nil, b.err
	}
	return p, nil
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(b.rest) == 0 {
		piece, err := b.next()
		if err != nil {
			return 0, err
		}
		b.rest = piece
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// WriteTo implements io.WriterTo, so that io.Copy needs no buffer of its own.
func (b *body) WriteTo(w io.Writer) (written int64, err error) {
	for {
		piece := b.rest
		b.rest = nil
		if len(piece) == 0 {
			if piece, err = b.next(); err == io.EOF {
				return written, nil
			} else if err != nil {
				return written, err
			}
		}
		n, err := w.Write(piece)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
}

// drain reads the rest of src and throws it away, but no more than limit octets. A
// rest that is known to be larger is not begun.
func drain(src pieces, limit int64) error {
	if r, ok := src.(*remainder); ok && r.left > limit {
		return errTooLarge
	}
	for {
		p, err := src.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if limit -= int64(len(p)); limit < 0 {
			return errTooLarge
		}
	}
}
