package structure

import (
	"bytes"
	"strings"

	"sallyport/internal/message"
)

// field is a header field; its value is not unfolded.
type field struct{ name, value []byte }

// fields parts the header section that was read.
func (p *parser) fields() []field {
	var out []field
	eachField(p.header, p.limits.Fields, func(name, raw []byte, colon int) {
		if colon >= 0 {
			out = append(out, field{name, raw[colon+1:]})
		}
	})
	return out
}

// eachField parts a header section into fields, whatever ends their lines, and gives the first
// of them: the name without white space behind it, the whole field with its line ends, and where
// its colon stands in it, -1 if it has none. The empty line is not among them.
func eachField(section []byte, most int, take func(name, raw []byte, colon int)) {
	for len(section) > 0 && most > 0 {
		end := 0
		for {
			i := bytes.IndexByte(section[end:], '\n')
			if i < 0 {
				end = len(section)
				break
			}
			end += i + 1
			if end == len(section) || section[end] != ' ' && section[end] != '\t' {
				break
			}
		}
		raw := section[:end]
		section = section[end:]
		if len(bytes.TrimRight(raw, "\r\n")) == 0 {
			return
		}
		most--
		colon := bytes.IndexByte(raw, ':')
		name := bytes.TrimRight(raw[:max(colon, 0)], " \t\r\n")
		take(name, raw, colon)
	}
}

// Fields returns the fields of a header section whose names are among names, in any letter
// case, in their order, and an empty line; without asks for the others. The section has CRLF.
// RFC 9051 §6.4.5 (HEADER.FIELDS, HEADER.FIELDS.NOT).
func Fields(section []byte, names []string, without bool) []byte {
	wanted := make(map[string]bool, len(names))
	for _, n := range names {
		wanted[strings.ToLower(n)] = true
	}
	var out []byte
	eachField(section, len(section), func(name, raw []byte, _ int) {
		if wanted[strings.ToLower(string(name))] != without {
			out = append(out, raw...)
		}
	})
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, "\r\n"...)
	}
	return append(out, "\r\n"...)
}

// HeaderField is a field as people read it.
type HeaderField struct {
	Name string // as it is written
	Text string // unfolded and decoded
}

// Header returns the fields of a header section, decoded as message.DecodeText does. It is for SEARCH.
func (l Limits) Header(section []byte) []HeaderField {
	var out []HeaderField
	eachField(section[:min(len(section), l.HeaderOctets)], l.Fields, func(name, raw []byte, colon int) {
		if colon >= 0 {
			out = append(out, HeaderField{string(name), message.DecodeText(string(unfolded(raw[colon+1:])))})
		}
	})
	return out
}

// unfolded takes the line ends out of a value, and the white space around it. RFC 5322 §2.2.3.
// What no line of a protocol may hold goes as well: a CR or LF that stands alone, and a NUL. The tabs that a line goes
// on with are blanks: people who look for two words of a subject do not know where a program has folded it.
func unfolded(value []byte) []byte {
	value = bytes.Trim(value, " \t\r\n")
	if bytes.IndexByte(value, '\n') < 0 && bytes.IndexByte(value, '\r') < 0 && bytes.IndexByte(value, 0) < 0 {
		return value
	}
	out := make([]byte, 0, len(value))
	begins := false // a line does, so far
	for _, c := range value {
		switch {
		case c == '\n':
			begins = true
		case c == '\r' || c == 0:
		case c == '\t' && begins:
			out = append(out, ' ')
		default:
			out, begins = append(out, c), begins && c == ' '
		}
	}
	return out
}

// first returns the first field of that name, which is in small letters.
func first(fields []field, name string) (value []byte, ok bool) {
	for _, f := range fields {
		if named(f.name, name) {
			return unfolded(f.value), true
		}
	}
	return nil, false
}

func named(b []byte, name string) bool {
	return len(b) == len(name) && strings.EqualFold(string(b), name)
}

// keep copies a text that is told; false if no more may be kept.
func (p *parser) keep(b []byte) (string, bool) {
	if len(b) > p.kept {
		return "", false
	}
	p.kept -= len(b)
	return string(b), true
}

// text keeps the first field of that name.
func (p *parser) text(fields []field, name string) Text {
	value, ok := first(fields, name)
	if !ok {
		return Text{}
	}
	s, ok := p.keep(value)
	return Text{s, ok}
}
