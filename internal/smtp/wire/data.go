package wire

import (
	"bytes"
	"io"
)

// DataReader reads the message that follows DATA: it takes off the dots that were
// stuffed, and ends with io.EOF exactly behind CRLF "." CRLF (or "." CRLF at its
// very beginning). RFC 5321 §4.1.1.4, §4.5.2. The octets behind the end stay in the
// LineReader.
//
// A bare CR, a bare LF, a NUL or a line beyond the limit is an error, and so is a
// source that ends early (io.ErrUnexpectedEOF). Every error is final.
type DataReader struct {
	lr        *LineReader
	lineLimit int
	lineStart bool // the next octet begins a line
	line      int  // octets of the line so far, dot included
	ready     int  // octets at the front of the buffer that are message
	err       error
}

// NewDataReader returns a reader of the message that comes next in lr. Lines longer
// than lineOctets, CRLF included, are refused.
func NewDataReader(lr *LineReader, lineOctets int) *DataReader {
	return &DataReader{lr: lr, lineLimit: lineOctets, lineStart: true}
}

// Next returns the next piece of the message without copying it, at least one
// octet. It is valid until the next call.
func (d *DataReader) Next() ([]byte, error) {
	if err := d.advance(); err != nil {
		return nil, err
	}
	p := d.lr.Peek()[:d.ready]
	d.lr.Discard(d.ready)
	d.ready = 0
	return p, nil
}

// Read is Next with a copy.
func (d *DataReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if d.ready == 0 {
		if err := d.advance(); err != nil {
			return 0, err
		}
	}
	n := copy(p, d.lr.Peek()[:d.ready])
	d.lr.Discard(n)
	d.ready -= n
	return n, nil
}

// advance makes sure that some octets are ready, or returns why none will be.
func (d *DataReader) advance() error {
	for d.ready == 0 {
		if d.err != nil {
			return d.err
		}
		need := d.scan()
		if d.ready > 0 || d.err != nil || !need {
			continue
		}
		if err := d.lr.Fill(); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			d.err = err
		}
	}
	return nil
}

// scan extends ready over all whole lines and line parts in the buffer up to the
// next stuffed dot or fault. It reports whether more octets are needed to go on.
func (d *DataReader) scan() (need bool) {
	p := d.lr.Peek()
	d.scanLines(p)
	for d.ready < len(p) {
		if d.lineStart && p[d.ready] == '.' {
			if d.ready > 0 {
				return false
			}
			return d.takeDot(p)
		}
		n, err := scanLine(p[d.ready:])
		d.line += n
		if d.line > d.lineLimit {
			err = ErrLineTooLong
			n -= min(n, d.line-d.lineLimit)
		}
		d.ready += n
		if err != nil {
			d.err = err
			return false
		}
		if n == 0 {
			return true // a CR whose LF has not come yet
		}
		d.lineStart = p[d.ready-1] == '\n'
		if d.lineStart {
			d.line = 0
		}
	}
	return true
}

// scanLines extends ready over the whole lines that come next, up to one that begins with a dot, if all is well with
// them: most of any message, for the price of one search a line. What else there is, scan looks at by itself.
func (d *DataReader) scanLines(p []byte) {
	if !d.lineStart {
		return
	}
	rest := p[d.ready:]
	n, lines := 0, 0
	for n < len(rest) && rest[n] != '.' {
		cr := bytes.IndexByte(rest[n:], '\r')
		if cr < 0 || n+cr+1 >= len(rest) {
			break // the line goes on
		}
		if rest[n+cr+1] != '\n' || cr+len("\r\n") > d.lineLimit {
			return
		}
		n, lines = n+cr+len("\r\n"), lines+1
	}
	// Each CR stands before an LF by now; that no LF stands alone, and no NUL anywhere, is seen at once.
	if sound := rest[:n]; bytes.Count(sound, []byte{'\n'}) == lines && bytes.IndexByte(sound, 0) < 0 {
		d.ready += n
	}
}

// takeDot handles a dot at the beginning of a line, which is the first octet of p:
// the end of the data if CRLF follows, else a stuffed dot. RFC 5321 §4.5.2.
func (d *DataReader) takeDot(p []byte) (need bool) {
	switch {
	case len(p) < 2 || p[1] == '\r' && len(p) < 3:
		return true
	case p[1] == '\r' && p[2] == '\n':
		d.lr.Discard(3)
		d.err = io.EOF
	default: // what follows is judged by scan: ". CR" without LF is a bare CR
		d.lr.Discard(1)
		d.lineStart, d.line = false, 1
	}
	return false
}
