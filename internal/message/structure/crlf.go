package structure

import (
	"bytes"
	"io"
)

// chunk is what is read from a file at once.
const chunk = 32 << 10

// Reader gives the octets of a span with CRLF at the end of each line, however the file ends
// them. An LF behind a CR, and a CR that stands alone, stay as they are.
func (s Span) Reader(file io.ReaderAt) io.Reader {
	return &crlfReader{from: io.NewSectionReader(file, s.Start, s.End-s.Start), octets: int(min(chunk, s.End-s.Start))}
}

// crlfReader writes a CR before each LF that has none.
type crlfReader struct {
	from   io.Reader
	octets int // read at once
	buffer []byte
	rest   []byte
	cr     bool // the octet given last is a CR
	owed   bool // an LF is owed, whose CR was given
	err    error
}

func (r *crlfReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if r.owed {
			p[n] = '\n'
			n++
			r.owed, r.rest = false, r.rest[1:]
			continue
		}
		if len(r.rest) == 0 && !r.fill(n) {
			break
		}
		i := bytes.IndexByte(r.rest, '\n')
		switch {
		case i == 0 && !r.cr:
			p[n] = '\r'
			n++
			r.owed = true
			r.cr = false
		default:
			// Up to the line's end, or past the LF that its CR was given for.
			part := r.rest
			if i > 0 {
				part = part[:i]
			} else if i == 0 {
				part = part[:1]
			}
			w := copy(p[n:], part)
			n += w
			r.rest = r.rest[w:]
			r.cr = p[n-1] == '\r'
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, r.err
	}
	return n, nil
}

// fill reads more, unless something was given already and reading may wait.
func (r *crlfReader) fill(given int) bool {
	if given > 0 || r.err != nil {
		return false
	}
	if r.buffer == nil {
		r.buffer = make([]byte, max(r.octets, 1))
	}
	for {
		n, err := r.from.Read(r.buffer)
		r.rest, r.err = r.buffer[:n], err
		if n > 0 || err != nil {
			return n > 0
		}
	}
}
