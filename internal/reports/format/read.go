package format

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"

	"sallyport/internal/message/transfer"
)

// Limits bounds reading.
type Limits struct {
	Octets   int64 // of one file or message
	Expanded int64 // of all that is expanded from a file or message, at each step
	Reports  int   // in one file or message
	Rows     int   // of one report; those beyond are left out
	Parts    int   // of one message or archive, with those of messages in it
	Depth    int   // of parts in parts, archives in archives
}

// DefaultLimits returns the bounds that nobody configured.
func DefaultLimits() Limits {
	return Limits{Octets: 50 << 20, Expanded: 100 << 20, Reports: 50, Rows: 200_000, Parts: 200, Depth: 5}
}

// Reading is what was read of a file, and what was not.
type Reading struct {
	Reports []Report
	Rows    int      // how many rows of them were left out
	Faults  []string // why something was left out, each once; empty: nothing was
}

// maxFaults bounds the faults that are told of one file.
const maxFaults = 10

// Read returns the reports in a file: XML, XML in gzip or zip, or a message with such
// files in it, under whatever name and type. What is damaged is read as far as it goes:
// faults of the wrapping, of the encoding and of single rows cost no more than what they
// concern. It is ErrReport where no report could be read, ErrNone where nothing looks
// like one.
func (l Limits) Read(data []byte) (Reading, error) {
	if int64(len(data)) > l.Octets {
		return Reading{}, fmt.Errorf("%w: it is larger than %d octets", ErrReport, l.Octets)
	}
	r := reader{Limits: l, left: l.Expanded}
	if !r.content(data, 0) {
		r.message(data, 0)
	}
	switch {
	case len(r.out.Reports) > 0:
		return r.out, nil
	case len(r.out.Faults) > 0:
		return Reading{}, fmt.Errorf("%w: %s", ErrReport, r.out.Faults[0])
	}
	return Reading{}, ErrNone
}

// reader reads one file or message.
type reader struct {
	Limits
	left  int64 // octets that may still be expanded
	parts int
	out   Reading
}

// fault notes why something was left out.
func (r *reader) fault(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if len(r.out.Faults) < maxFaults && !slices.Contains(r.out.Faults, s) {
		r.out.Faults = append(r.out.Faults, s)
	}
}

// enter counts a part, and reports whether it may be looked at.
func (r *reader) enter(depth int) bool {
	r.parts++
	if r.parts > r.Parts || depth > r.Depth {
		r.fault("it has too many parts, or parts too deep in each other")
		return false
	}
	return true
}

// content reads what is told by its first octets, whatever it is called; false: it is
// nothing that reports come in.
func (r *reader) content(data []byte, depth int) bool {
	plain := bytes.TrimLeft(data, " \t\r\n")
	switch {
	case bytes.HasPrefix(plain, []byte(gzipMagic)):
		if r.enter(depth) {
			r.gunzip(plain, depth)
		}
		return true
	case bytes.HasPrefix(plain, []byte(zipMagic)):
		if r.enter(depth) {
			r.unzip(plain, depth)
		}
		return true
	case isBase64(plain):
		return r.enter(depth) && r.content(transfer.Base64(plain), depth+1)
	}
	if !isXML(plain) {
		return false
	}
	r.document(toUTF8(plain))
	return true
}

// The first octets of archives. RFC 1952 §2.3.1, APPNOTE.TXT §4.3.7.
const (
	gzipMagic = "\x1f\x8b\x08"
	zipMagic  = "PK\x03\x04"
)

// gunzip reads a gzip file of one or several members. What follows the last, as line
// ends do that a mail program added, is not looked at.
func (r *reader) gunzip(data []byte, depth int) {
	in := bytes.NewReader(data)
	var all []byte
	for z := new(gzip.Reader); ; {
		rest := data[len(data)-in.Len():]
		if !bytes.HasPrefix(rest, []byte(gzipMagic)) {
			break
		}
		if err := z.Reset(in); err != nil {
			r.fault("its gzip is damaged: %v", err)
			break
		}
		z.Multistream(false)
		text, err := r.inflate(z)
		all = append(all, text...)
		if err != nil {
			r.fault("its gzip is damaged: %v", err)
			break
		}
		if text == nil {
			return
		}
	}
	if !r.content(all, depth+1) && !r.file(all, depth+1) {
		r.unknown(all)
	}
}

func (r *reader) unknown(data []byte) {
	if len(data) > 0 {
		r.fault("what it holds is neither XML nor an archive")
	}
}

// inflate reads to the end, or to where it breaks off, no further than what may still be
// expanded: what would go further is nil.
func (r *reader) inflate(in io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(in, r.left+1))
	if int64(len(text)) > r.left {
		r.fault("it expands to more than %d octets", r.Expanded)
		r.left = 0
		return nil, nil
	}
	r.left -= int64(len(text))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it breaks off")
	}
	if text == nil {
		text = []byte{}
	}
	return text, err
}
