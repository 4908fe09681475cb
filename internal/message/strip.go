package message

import (
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// StripRules says which fields a message may not bring along.
type StripRules struct {
	// Names are the fields that are removed whatever they say, such as Return-Path,
	// which only final delivery may add (RFC 5321 §4.4), and Bcc (RFC 5322 §3.6.3).
	Names []string
	// AuthServIDs are the names under which this server speaks in
	// Authentication-Results; a field that claims one, or whose claim cannot be
	// read, is removed. RFC 8601 §5.
	AuthServIDs []mail.Domain
}

// Span is a range of octets of a header section: Start up to but not including
// End.
type Span struct{ Start, End int }

// Strip returns the fields that the rules remove, in order.
func Strip(h Header, r StripRules) []Span {
	var spans []Span
	for _, f := range h.fields {
		if r.removes(h, f) {
			spans = append(spans, Span{f.start, f.end})
		}
	}
	return spans
}

// Without appends the section to dst, leaving out the spans, which must be in
// order and within it.
func (h Header) Without(dst []byte, spans []Span) []byte {
	at := 0
	for _, s := range spans {
		dst = append(dst, h.raw[at:s.Start]...)
		at = s.End
	}
	return append(dst, h.raw[at:]...)
}

func (r StripRules) removes(h Header, f span) bool {
	for _, name := range r.Names {
		if h.named(f, name) {
			return true
		}
	}
	return len(r.AuthServIDs) > 0 && h.named(f, "Authentication-Results") && (f.bad || r.claims(h.value(f)))
}

// claims reports whether a value of Authentication-Results claims to be ours, or
// cannot be read.
func (r StripRules) claims(value string) bool {
	id, ok := authServID(value)
	if !ok {
		return true
	}
	if d, err := mail.ParseDomain(strings.TrimSuffix(id, ".")); err == nil && slices.Contains(r.AuthServIDs, d) {
		return true
	}
	// Nor may it be ours to a reader who is less strict; any other id is not ours.
	decoded, _ := decodeWords(value)
	for _, text := range []string{value, decoded} {
		first, _, _ := strings.Cut(squeezed(mapped(text)), ";")
		for _, word := range strings.FieldsFunc(first, endsDomain) {
			if d, err := mail.ParseDomain(strings.Trim(word, ".-")); err == nil && slices.Contains(r.AuthServIDs, d) {
				return true
			}
		}
	}
	return false
}

// authServID reads the authserv-id at the start of a value: a token or a
// quoted-string, behind white space and comments. RFC 8601 §2.2.
func authServID(value string) (string, bool) {
	r := addressReader{text: value}
	r.skip()
	start := r.at
	if r.fault == "" && r.peek() == '"' {
		r.quoted()
		return unquote(r.text[start:r.at]), r.fault == ""
	}
	for r.at < len(r.text) && !isSpace(r.text[r.at]) && strings.IndexByte(`;("`, r.text[r.at]) < 0 {
		r.at++
	}
	return r.text[start:r.at], r.fault == "" && r.at > start
}

// unquote removes the quotes and quoted-pairs of a quoted-string.
func unquote(s string) string {
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
