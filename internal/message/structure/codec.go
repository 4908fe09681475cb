package structure

import (
	"encoding/binary"
	"errors"

	"sallyport/internal/kit/codec"
)

// version is the first octet of an encoded structure. That of before is the same but for messages that lie in it encoded, of
// which it says nothing.
const (
	version       = 2
	formerVersion = 1
)

// deepest is the deepest structure that is decoded: what is stored may be damaged.
const deepest = 1000

// ErrRecord says that an encoded structure is damaged, or of another version: it is parsed anew.
var ErrRecord = errors.New("structure: the record is damaged or of another version")

// Append writes the structure for an index.
func (s Structure) Append(b []byte) []byte { return s.append(append(b, version)) }

// Decode reads what Append wrote. Its error is ErrRecord.
func Decode(b []byte) (Structure, error) {
	r := reader{Reader: codec.NewTextReader(b)}
	v := r.version()
	s := r.structure(0)
	if !r.Done() || v == formerVersion && s.Part.mayEncode() {
		return Structure{}, ErrRecord
	}
	return s, nil
}

// DecodeEnvelope reads the envelope of what Append wrote, and nothing behind it. Its error is
// ErrRecord.
func DecodeEnvelope(b []byte) (Envelope, error) {
	r := reader{Reader: codec.NewTextReader(b)}
	r.version()
	e := r.envelope()
	if r.Failed() {
		return Envelope{}, ErrRecord
	}
	return e, nil
}

// DecodeSubject reads the subject of what Append wrote, and nothing behind it. Its error is
// ErrRecord.
func DecodeSubject(b []byte) (Text, error) {
	r := reader{Reader: codec.NewReader(b)}
	r.version()
	if date := r.Octet(); date == 1 {
		r.Take(int(r.Number(uint64(r.Left()))))
	} else {
		r.Require(date == 0)
	}
	subject := r.given()
	if r.Failed() {
		return Text{}, ErrRecord
	}
	return subject, nil
}

func (s Structure) append(b []byte) []byte {
	e := s.Envelope
	b = appendText(b, e.Date)
	b = appendText(b, e.Subject)
	for _, list := range [][]Address{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, a := range list {
			b = append(b, byte(a.Kind))
			for _, text := range []string{a.Name, a.Route, a.Mailbox, a.Host} {
				b = codec.AppendText(b, text)
			}
		}
	}
	b = appendText(b, e.InReplyTo)
	b = appendText(b, e.MessageID)
	return s.Part.append(b)
}

func appendText(b []byte, t Text) []byte {
	if !t.Given {
		return append(b, 0)
	}
	return codec.AppendText(append(b, 1), t.Value)
}

func appendParams(b []byte, params []Param) []byte {
	b = binary.AppendUvarint(b, uint64(len(params)))
	for _, p := range params {
		b = codec.AppendText(codec.AppendText(b, p.Name), p.Value)
	}
	return b
}

func appendSpan(b []byte, s Span) []byte {
	for _, n := range []int64{s.Start, s.End - s.Start, s.Size - (s.End - s.Start), s.Lines} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

// What stands behind a part in its record.
const (
	hasParts = 1 << iota
	hasMessage
	hasDisposition
)

func (p *Part) append(b []byte) []byte {
	var has byte
	if len(p.Parts) > 0 {
		has |= hasParts
	}
	if p.Message != nil {
		has |= hasMessage
	}
	if p.Disposition != nil {
		has |= hasDisposition
	}
	b = append(b, has)
	b = codec.AppendText(codec.AppendText(b, p.Type), p.Subtype)
	b = appendParams(b, p.Params)
	b = codec.AppendText(b, p.Encoding)
	for _, t := range []Text{p.ID, p.Description, p.MD5, p.Location} {
		b = appendText(b, t)
	}
	if p.Disposition != nil {
		b = appendParams(codec.AppendText(b, p.Disposition.Type), p.Disposition.Params)
	}
	b = binary.AppendUvarint(b, uint64(len(p.Languages)))
	for _, l := range p.Languages {
		b = codec.AppendText(b, l)
	}
	b = appendSpan(appendSpan(b, p.Header), p.Body)
	if len(p.Parts) > 0 {
		b = binary.AppendUvarint(b, uint64(len(p.Parts)))
		for i := range p.Parts {
			b = p.Parts[i].append(b)
		}
	}
	if p.Message != nil {
		b = p.Message.append(b)
	}
	return b
}

// reader reads a record.
type reader struct{ codec.Reader }

func (r *reader) version() byte {
	v := r.Octet()
	r.Require(v == version || v == formerVersion)
	return v
}

// mayEncode reports whether a message lies in it that names an encoding.
func (p *Part) mayEncode() bool {
	for i := range p.Parts {
		if p.Parts[i].mayEncode() {
			return true
		}
	}
	return p.Message != nil && (p.Encoding == "base64" || p.Encoding == "quoted-printable" || p.Message.Part.mayEncode())
}

// count reads how many items follow: each has an octet at least.
func (r *reader) count() int { return int(r.Number(uint64(r.Left()))) }

func (r *reader) structure(depth int) Structure {
	return Structure{Envelope: r.envelope(), Part: r.part(depth)}
}

// usualAddresses is for how many addresses of one field there is room at first: a record that claims more takes no more memory
// than it has addresses.
const usualAddresses = 8

func (r *reader) envelope() (e Envelope) {
	e.Date, e.Subject = r.given(), r.given()
	for _, list := range []*[]Address{&e.From, &e.Sender, &e.ReplyTo, &e.To, &e.Cc, &e.Bcc} {
		n := r.count()
		if n > 0 {
			*list = make([]Address, 0, min(n, usualAddresses))
		}
		for range n {
			if r.Failed() {
				return e
			}
			a := Address{Kind: AddressKind(r.Octet())}
			r.Require(a.Kind <= GroupEnd)
			a.Name, a.Route, a.Mailbox, a.Host = r.Text(), r.Text(), r.Text(), r.Text()
			*list = append(*list, a)
		}
	}
	e.InReplyTo, e.MessageID = r.given(), r.given()
	return e
}

func (r *reader) given() Text {
	given := r.Octet()
	if r.Require(given <= 1); given == 0 {
		return Text{}
	}
	return Text{r.Text(), true}
}

func (r *reader) params() []Param {
	var out []Param
	for range r.count() {
		if r.Failed() {
			break
		}
		out = append(out, Param{r.Text(), r.Text()})
	}
	return out
}

// mostSpan is more than any message has, in octets and in lines: what is stored and more is no record of ours.
const mostSpan = 1 << 60

func (r *reader) span() Span {
	s := Span{Start: int64(r.Number(mostSpan))}
	s.End = s.Start + int64(r.Number(mostSpan))
	s.Size = s.End - s.Start + int64(r.Number(mostSpan))
	s.Lines = int64(r.Number(mostSpan))
	return s
}

func (r *reader) part(depth int) Part {
	has := r.Octet()
	r.Require(has <= hasParts|hasMessage|hasDisposition && depth <= deepest)
	p := Part{Type: r.Text(), Subtype: r.Text(), Params: r.params(), Encoding: r.Text()}
	p.ID, p.Description, p.MD5, p.Location = r.given(), r.given(), r.given(), r.given()
	if has&hasDisposition != 0 {
		p.Disposition = &Disposition{Type: r.Text(), Params: r.params()}
	}
	for range r.count() {
		if r.Failed() {
			return p
		}
		p.Languages = append(p.Languages, r.Text())
	}
	p.Header, p.Body = r.span(), r.span()
	if has&hasParts != 0 {
		n := r.count()
		r.Require(n > 0)
		for range n {
			if r.Failed() {
				return p
			}
			p.Parts = append(p.Parts, r.part(depth+1))
		}
	}
	if has&hasMessage != 0 && !r.Failed() {
		m := r.structure(depth + 1)
		p.Message = &m
	}
	return p
}
