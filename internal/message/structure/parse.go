package structure

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Parse reads a message of size octets within DefaultLimits; see Limits.Parse.
func Parse(file io.ReaderAt, size int64) (Structure, error) { return DefaultLimits().Parse(file, size) }

// Parse reads a message of size octets. It reads it once, in order, and what lies in it encoded once more. Its errors are those of file.
func (l Limits) Parse(file io.ReaderAt, size int64) (Structure, error) {
	p := parser{
		limits: l, from: bufio.NewReaderSize(io.NewSectionReader(file, 0, size), int(min(chunk, size+1))), kept: l.KeptOctets, addresses: l.Addresses,
		over: &over{file: file, within: map[int64]encoded{}},
	}
	s := p.message(0)
	if p.err != nil {
		return Structure{}, p.err
	}
	return s, nil
}

// place is a place in the file, and what stands before it.
type place struct{ at, told, lines int64 }

func (from place) to(end place) Span {
	if end.at < from.at {
		end = from
	}
	return Span{Start: from.at, End: end.at, Size: end.told - from.told, Lines: end.lines - from.lines}
}

// hit is the boundary that ended a part: the level of its multipart, or -1 at the end of the file.
type hit struct {
	level   int
	closing bool // it ends the multipart as well
}

// parser reads a message. Its fault sticks, and is taken for the end of the file.
type parser struct {
	limits Limits
	from   *bufio.Reader
	err    error

	here   place
	start  place // of the line that was read last
	before place // before the line end that stands before here
	end    place // of what the boundary, or the end of the file, ended
	inside bool  // here is inside of a line
	cr     bool  // the octet read last is a CR

	open      [][]byte // boundaries of the multiparts that are open, with their hyphens
	parts     int      // so far
	kept      int      // octets that may still be kept
	addresses int      // that may still be kept

	over   *over
	within bool // what is read was decoded

	last   hit    // what ended the part that was read last
	header []byte // the header section that is read
}

// line reads a line, or a piece of a long one. ok is false at the end of the file, and at a
// boundary; which, says p.last then.
func (p *parser) line() (line []byte, ok bool) {
	inside, before := p.inside, p.before
	line, err := p.from.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
		p.err, line = err, nil
	}
	p.start = p.here
	if len(line) == 0 {
		// The end of the file ends no line: what stands before it belongs to the part.
		p.end, p.last = p.here, hit{level: -1}
		return nil, false
	}
	p.advance(line)
	if inside {
		return line, true
	}
	level, closing := p.boundary(line)
	if level < 0 {
		return line, true
	}
	start := p.start
	for p.inside { // a long line goes on behind the boundary
		rest, err := p.from.ReadSlice('\n')
		if len(rest) == 0 {
			break
		}
		p.advance(rest)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	p.start, p.end, p.last = start, before, hit{level, closing}
	return nil, false
}

// advance moves behind a line, or a piece of one, and notes where its line end begins.
func (p *parser) advance(line []byte) {
	n := int64(len(line))
	p.here.at += n
	p.here.told += n
	p.inside = line[len(line)-1] != '\n'
	if p.inside {
		p.cr = line[len(line)-1] == '\r'
		return
	}
	cr := p.cr && n == 1 || n > 1 && line[n-2] == '\r'
	p.cr = false
	p.before = place{at: p.here.at - 1, told: p.here.told - 1, lines: p.here.lines}
	if cr {
		p.before.at--
		p.before.told--
	} else {
		p.here.told++
	}
	p.here.lines++
}

// boundary returns the level of the boundary that a line begins with, -1 for none. RFC 2046
// §5.1.1: the line need not end there. Where two begin it, the longer one is meant. Once there
// are as many parts as may be, nothing ends the last.
func (p *parser) boundary(line []byte) (level int, closing bool) {
	if len(p.open) == 0 || !bytes.HasPrefix(line, []byte("--")) || p.parts >= p.limits.Parts {
		return -1, false
	}
	level = -1
	for i, b := range p.open {
		if (level < 0 || len(b) >= len(p.open[level])) && bytes.HasPrefix(line, b) {
			level = i
		}
	}
	return level, level >= 0 && bytes.HasPrefix(line[len(p.open[level]):], []byte("--"))
}

// skip reads up to a boundary or the end of the file.
func (p *parser) skip() {
	for {
		if _, ok := p.line(); !ok {
			return
		}
	}
}

// section reads a header section into p.header, with the empty line that ends it. ended is
// false if a boundary or the end of the file did.
func (p *parser) section() (where Span, ended bool) {
	p.header = p.header[:0]
	begin, empty := p.here, true // whether this line is empty so far
	for {
		inside := p.inside
		line, ok := p.line()
		if !ok {
			return begin.to(p.start), false
		}
		if room := p.limits.HeaderOctets - len(p.header); room > 0 {
			p.header = append(p.header, line[:min(room, len(line))]...)
		}
		empty = !inside && (len(line) == 1 || len(line) == 2 && line[0] == '\r') && !p.inside
		if empty {
			return begin.to(p.here), true
		}
	}
}

// message reads a message, or one within another.
func (p *parser) message(depth int) Structure {
	where, ended := p.section()
	fields := p.fields()
	s := Structure{Envelope: p.envelope(fields), Part: p.describe(fields, false)}
	s.Part.Header = where
	p.body(&s.Part, depth, ended)
	return s
}

// part reads a part of a multipart.
func (p *parser) part(depth int, digest bool) Part {
	where, ended := p.section()
	part := p.describe(p.fields(), digest)
	part.Header = where
	p.body(&part, depth, ended)
	return part
}

// body reads the body of a part whose header is read; without one, if its header did not end.
func (p *parser) body(part *Part, depth int, ended bool) {
	p.parts++
	begin := p.here
	if !ended {
		begin = p.start
	}
	boundary := part.boundary(p.limits)
	multipart, message := part.Type == "multipart", part.isMessage()
	switch {
	case (multipart && boundary != "" || message) && (depth >= p.limits.Depth || p.parts >= p.limits.Parts):
		part.Type, part.Subtype, part.Params = "application", "octet-stream", nil
		fallthrough
	case !multipart && !message:
		if ended {
			p.skip()
		}
	case message && ended && p.encoded(part):
		p.skip()
		part.Body = begin.to(p.end)
		part.Message = p.decoded(part, depth+1)
	case message && ended:
		m := p.message(depth + 1)
		part.Message = &m
	case message:
		part.Message = &Structure{Part: nothing(begin)}
	case boundary == "":
		// A person can read it at least. RFC 2046 §5.1.1 demands the boundary.
		part.Type, part.Subtype = "text", "plain"
		if ended {
			p.skip()
		}
	case ended:
		p.multipart(part, depth, boundary)
		fallthrough
	default:
		if len(part.Parts) == 0 {
			part.Parts = []Part{nothing(begin)} // IMAP wants one
		}
	}
	part.Body = begin.to(p.end)
}

// multipart reads preamble, parts and epilogue. RFC 2046 §5.1.
func (p *parser) multipart(part *Part, depth int, boundary string) {
	level := len(p.open)
	p.open = append(p.open, []byte("--"+boundary))
	digest := part.Subtype == "digest"
	p.skip()
	for p.last.level == level && !p.last.closing {
		part.Parts = append(part.Parts, p.part(depth+1, digest))
	}
	p.open = p.open[:level]
	if p.last.level == level {
		p.skip()
	}
}

// nothing is an empty part.
func nothing(at place) Part {
	return Part{Type: "text", Subtype: "plain", Params: []Param{{"charset", "us-ascii"}}, Encoding: "7bit", Header: at.to(at), Body: at.to(at)}
}
