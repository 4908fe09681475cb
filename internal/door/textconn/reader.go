package textconn

import (
	"bytes"
	"errors"
	"io"
)

// Why no command can be read.
var (
	// ErrTooLong: a command is longer than its limit. What it was is not known, and neither is where
	// the next one begins.
	ErrTooLong = errors.New("the command is too long")
	// ErrControl: a line holds NUL, or CR without LF.
	ErrControl = errors.New("a line holds NUL or a bare CR")
)

// readerOctets is what a Reader holds.
const readerOctets = 1024

// Reader takes lines and literals from a connection. It holds one KiB; what is longer goes
// into the caller's memory.
type Reader struct {
	src  io.Reader
	buf  [readerOctets]byte
	r, w int
}

// NewReader returns a Reader of src.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Reset makes it read from another source. Nothing may be buffered.
func (r *Reader) Reset(src io.Reader) { r.src, r.r, r.w = src, 0, 0 }

// Buffered returns how many octets were read and not yet taken.
func (r *Reader) Buffered() int { return r.w - r.r }

// Wait waits until an octet is there.
func (r *Reader) Wait() error {
	if r.Buffered() > 0 {
		return nil
	}
	return r.fill()
}

func (r *Reader) fill() error {
	r.r, r.w = 0, 0
	for range maxEmptyReads {
		n, err := r.src.Read(r.buf[:])
		r.w = n
		switch {
		case n > 0:
			return nil // an error shows again at the next read
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// maxEmptyReads bounds reads that return neither octets nor an error.
const maxEmptyReads = 100

// Line appends the next line to b, which may then have at most limit octets, and ends it with CRLF:
// a bare LF, which people type, is taken for one. RFC 9051 §2.2.
func (r *Reader) Line(b []byte, limit int) ([]byte, error) {
	start := len(b)
	for {
		if err := r.Wait(); err != nil {
			if err == io.EOF && len(b) > start {
				err = io.ErrUnexpectedEOF
			}
			return b, err
		}
		have := r.buf[r.r:r.w]
		i := bytes.IndexByte(have, '\n')
		if i >= 0 {
			have = have[:i]
		}
		if len(b)+len(have) > limit {
			return b, ErrTooLong
		}
		b = append(b, have...)
		r.r += len(have)
		if i < 0 {
			continue
		}
		r.r++
		line := bytes.TrimSuffix(b[start:], []byte("\r"))
		if bytes.ContainsAny(line, "\r\x00") {
			return b, ErrControl
		}
		return append(b[:start+len(line)], "\r\n"...), nil
	}
}

// Octets appends n octets to b.
func (r *Reader) Octets(b []byte, n int64) ([]byte, error) {
	for n > 0 {
		if err := r.Wait(); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return b, err
		}
		take := int(min(n, int64(r.Buffered())))
		b = append(b, r.buf[r.r:r.r+take]...)
		r.r += take
		n -= int64(take)
	}
	return b, nil
}

// Read takes what is buffered, or else reads from the source directly.
func (r *Reader) Read(p []byte) (int, error) {
	if r.Buffered() == 0 {
		return r.src.Read(p)
	}
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	return n, nil
}
