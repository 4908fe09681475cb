package structure

import (
	"bytes"
	"strings"
)

// describe reads the fields of a part that BODYSTRUCTURE tells. In a digest a part without a
// type is a message. RFC 2045 §5.2, RFC 2046 §5.1.5.
func (p *parser) describe(fields []field, digest bool) Part {
	part := Part{
		ID: p.text(fields, "content-id"), Description: p.text(fields, "content-description"),
		MD5: p.text(fields, "content-md5"), Location: p.text(fields, "content-location"),
		Encoding: "7bit",
	}
	if v, ok := first(fields, "content-transfer-encoding"); ok {
		if token, _ := token(skipBlanks(v)); len(token) > 0 && len(token) <= maxToken {
			part.Encoding = strings.ToLower(string(token))
		}
	}
	if !p.mediaType(&part, fields) {
		part.Type, part.Subtype, part.Params = "text", "plain", []Param{{"charset", "us-ascii"}}
		if digest {
			part.Type, part.Subtype, part.Params = "message", "rfc822", nil
		}
	}
	if v, ok := first(fields, "content-disposition"); ok {
		if kind, rest := token(skipBlanks(v)); len(kind) > 0 && len(kind) <= maxToken {
			part.Disposition = &Disposition{Type: strings.ToLower(string(kind)), Params: p.params(rest)}
		}
	}
	if v, ok := first(fields, "content-language"); ok {
		for word := range bytes.FieldsFuncSeq(v, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' }) {
			if s, ok := p.keep(word); ok && len(part.Languages) < p.limits.Params {
				part.Languages = append(part.Languages, s)
			}
		}
	}
	return part
}

// maxToken is the longest type, subtype or encoding; no registered one has half of it. RFC 6838
// §4.2 allows 127.
const maxToken = 127

// mediaType reads Content-Type; false if there is none that can be read.
func (p *parser) mediaType(part *Part, fields []field) bool {
	v, ok := first(fields, "content-type")
	if !ok {
		return false
	}
	kind, rest := token(skipBlanks(v))
	rest = skipBlanks(rest)
	if len(kind) == 0 || len(kind) > maxToken || len(rest) == 0 || rest[0] != '/' {
		return false
	}
	sub, rest := token(skipBlanks(rest[1:]))
	if len(sub) == 0 || len(sub) > maxToken {
		return false
	}
	part.Type, part.Subtype = strings.ToLower(string(kind)), strings.ToLower(string(sub))
	part.Params = p.params(rest)
	return true
}

// params reads parameters, each behind a semicolon. A value without quotes goes up to the next
// one, as many programs write names of files.
func (p *parser) params(text []byte) []Param {
	var out []Param
	for len(out) < p.limits.Params {
		i := bytes.IndexByte(text, ';')
		if i < 0 {
			return out
		}
		text = skipBlanks(text[i+1:])
		name, rest := token(text)
		rest = skipBlanks(rest)
		if len(name) == 0 || len(rest) == 0 || rest[0] != '=' {
			continue
		}
		var value []byte
		value, text = paramValue(skipBlanks(rest[1:]))
		if len(name)+len(value) > min(p.limits.ParamOctets, p.kept) {
			continue
		}
		p.kept -= len(name) + len(value)
		out = append(out, Param{strings.ToLower(string(name)), string(value)})
	}
	return out
}

func paramValue(text []byte) (value, rest []byte) {
	if len(text) == 0 || text[0] != '"' {
		i := bytes.IndexAny(text, ";(")
		if i < 0 {
			i = len(text)
		}
		return bytes.TrimRight(text[:i], " \t"), text[i:]
	}
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return value, text[i+1:]
		case c == '\\' && i+1 < len(text):
			i++
			value = append(value, text[i])
		default:
			value = append(value, c)
		}
	}
	return value, nil
}

// token reads what is no blank and no special character. RFC 2045 §5.1; octets beyond ASCII are
// let through.
func token(text []byte) (word, rest []byte) {
	i := 0
	for i < len(text) && text[i] > ' ' && text[i] != 0x7f && strings.IndexByte(`()<>@,;:\"/[]?=`, text[i]) < 0 {
		i++
	}
	return text[:i], text[i:]
}

// skipBlanks passes white space and comments.
func skipBlanks(text []byte) []byte {
	for len(text) > 0 {
		switch text[0] {
		case ' ', '\t':
			text = text[1:]
		case '(':
			r := addressReader{text: text}
			r.readComment()
			text = text[r.at:]
		default:
			return text
		}
	}
	return nil
}

// boundary returns what parts the part, "" if nothing does. RFC 2046 §5.1.1.
func (p *Part) boundary(l Limits) string {
	if p.Type != "multipart" {
		return ""
	}
	b := strings.TrimRight(Value(p.Params, "boundary"), " \t")
	if len(b) > l.BoundaryOctets {
		return ""
	}
	return b
}

func (p *Part) isMessage() bool {
	return p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global") // RFC 6532 §3.7
}
