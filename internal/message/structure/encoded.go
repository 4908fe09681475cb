package structure

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"sallyport/internal/message/transfer"
)

// A message within another may have a transfer encoding: message/global may by RFC 6532 §3.7, message/rfc822 must not by
// RFC 2046 §5.2.1, and some programs do it all the same. It is told as it is when it is decoded. Its places are
// those of a file of its own, which begins beyond any message: that of the n-th at n times apart. Over has them all. What lies encoded
// within one that was decoded is told as it is: else a message of many would be decoded from its begin for each.

// apart is how far, in octets, the messages that are decoded lie from each other: no message is as long.
const apart = 1 << 42

// peekOctets is how much of a message is looked at to tell whether it is encoded.
const peekOctets = 4 << 10

// encoded reports whether the message that comes next is in the encoding that its part names. Programs name one of what has
// none: of base64, the first line would be that of a header, and of quoted-printable a header would have
// other equals signs than those of the encoding.
func (p *parser) encoded(part *Part) bool {
	if p.within || part.Encoding != "base64" && part.Encoding != "quoted-printable" {
		return false
	}
	head, _ := p.from.Peek(min(peekOctets, p.from.Size())) // what is wrong is met again
	head = bytes.TrimLeft(head, "\r\n")
	if part.Encoding == "base64" {
		line, _, _ := bytes.Cut(head, []byte("\n"))
		return len(line) > 0 && !bytes.ContainsAny(line, ":-")
	}
	for _, end := range []string{"\n\n", "\n\r\n"} {
		head, _, _ = bytes.Cut(head, []byte(end))
	}
	signs := 0
	for {
		_, rest, found := bytes.Cut(head, []byte("="))
		if !found {
			return signs > 0
		}
		if len(rest) > 2 && rest[0] != '\n' && rest[0] != '\r' && (!isHex(rest[0]) || !isHex(rest[1])) {
			return false
		}
		head, signs = rest, signs+1
	}
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' }

// decoded reads the message in the body of a part, which is encoded.
func (p *parser) decoded(part *Part, depth int) *Structure {
	n := int64(len(p.over.within) + 1)
	p.over.within[n] = encoded{part.Encoding, part.Body}
	begin := place{at: n * apart, told: n * apart}
	inner := parser{
		limits: p.limits, from: bufio.NewReaderSize(io.NewSectionReader(p.over, n*apart, apart), chunk), over: p.over, within: true,
		here: begin, start: begin, before: begin, parts: p.parts, kept: p.kept, addresses: p.addresses,
	}
	s := inner.message(depth)
	p.parts, p.kept, p.addresses = inner.parts, inner.kept, inner.addresses
	if p.err == nil {
		p.err = inner.err
	}
	return &s
}

// decodes reports whether the part is a message that is told decoded, and which.
func (p *Part) decodes() (n int64, is bool) {
	if p.Message == nil {
		return 0, false
	}
	n = p.Message.Part.Header.Start / apart
	return n, n > 0 && p.Body.Start < apart
}

// over is a message with those that lie in it encoded.
type over struct {
	file   io.ReaderAt
	within map[int64]encoded

	n      int64     // of the one that is read; 0: none is
	reader io.Reader // of it
	at     int64     // how far it was read
}

// encoded is a message within another.
type encoded struct {
	encoding string
	from     Span
}

// Over returns the message with what lies in it decoded: all places that the structure tells are there. It is for one
// goroutine, and is best read in order.
func (s Structure) Over(file io.ReaderAt) io.ReaderAt {
	o := &over{file: file, within: map[int64]encoded{}}
	o.add(&s.Part)
	if len(o.within) == 0 {
		return file
	}
	return o
}

func (o *over) add(p *Part) {
	for i := range p.Parts {
		o.add(&p.Parts[i])
	}
	if n, is := p.decodes(); is {
		o.within[n] = encoded{p.Encoding, p.Body}
	} else if p.Message != nil {
		o.add(&p.Message.Part)
	}
}

// ReadAt implements io.ReaderAt.
func (o *over) ReadAt(p []byte, at int64) (int, error) {
	n := at / apart
	if n == 0 {
		return o.file.ReadAt(p, at)
	}
	e, there := o.within[n]
	if !there {
		return 0, io.EOF
	}
	if at -= n * apart; n != o.n || at < o.at {
		r, _ := transfer.NewReader(e.encoding, e.from.Reader(o.file))
		o.n, o.reader, o.at = n, &crlfReader{from: r, octets: chunk}, 0
	}
	skipped, err := io.CopyN(io.Discard, o.reader, at-o.at)
	if o.at += skipped; err != nil {
		return 0, err
	}
	m, err := io.ReadFull(o.reader, p)
	if o.at += int64(m); errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return m, err
}
