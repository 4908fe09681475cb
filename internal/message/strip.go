package message

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/mail"
)

// StripRules says which fields a message may not bring along.
type StripRules struct {
	// Names are the fields that are removed whatever they say, such as Return-Path,
	// which only final delivery may add (RFC 5321 §4.4), and Bcc (RFC 5322 §3.6.3).
	Names []string
	// AuthServIDs are the names under which this server speaks in
	// Authentication-Results; a field that claims one, or whose claim cannot be
	// read, is removed, and so is what is beyond the first 64 KiB of such fields. RFC
	// 8601 §5.
	AuthServIDs []mail.Domain
}

// Span is a range of octets of a header section: Start up to but not including
// End.
type Span struct{ Start, End int }

// Strip returns the fields that the rules remove, in order.
func Strip(h Header, r StripRules) []Span {
	var spans []Span
	ours := make([]ourName, len(r.AuthServIDs))
	for i, d := range r.AuthServIDs {
		ours[i] = ourName{d, mapped(d.Unicode())}
	}
	room := maxResultsOctets
	for _, f := range h.fields {
		if r.named(h, f) || len(ours) > 0 && h.looksNamed(f, "Authentication-Results") && claimed(h, f, ours, &room) {
			spans = append(spans, Span{f.start, f.end})
		}
	}
	return spans
}

// maxResultsOctets bounds how much of Authentication-Results fields is read for who claims
// to have written them. Servers write some hundred octets each; what is beyond is removed
// as what cannot be read is, since reading it would cost more than a stranger pays.
const maxResultsOctets = 64 << 10

// claimed reports whether a field of Authentication-Results claims to be ours, or cannot be
// read; it takes off room what it reads.
func claimed(h Header, f span, ours []ourName, room *int) bool {
	if *room -= f.end - f.start; f.bad || *room < 0 {
		return true
	}
	return claims(h.value(f), ours)
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

func (r StripRules) named(h Header, f span) bool {
	return slices.ContainsFunc(r.Names, func(name string) bool { return h.looksNamed(f, name) })
}

// ourName is a name under which this server speaks, and its form for people.
type ourName struct {
	domain  mail.Domain
	unicode string
}

// claims reports whether a value of Authentication-Results claims to be ours, or
// cannot be read.
func claims(value string, ours []ourName) bool {
	id, ok := authServID(value)
	if !ok {
		return true
	}
	d, err := mail.ParseDomain(strings.TrimSuffix(id, "."))
	if err == nil && slices.ContainsFunc(ours, func(o ourName) bool { return o.domain == d }) {
		return true
	}
	// Nor may it be ours to a reader who is less strict; any other id is not ours.
	for _, text := range readings(strings.Map(blankForUnseen, value)) {
		first, _, _ := strings.Cut(squeezed(mapped(text)), ";")
		for word := range strings.FieldsFuncSeq(first, endsDomain) {
			word = strings.Trim(word, ".-")
			if slices.ContainsFunc(ours, func(o ourName) bool { return sameLabels(word, o.domain.ASCII(), o.unicode) }) {
				return true
			}
		}
	}
	return false
}

// blankForUnseen makes blanks of what programs take for white space, in one charset or
// another, and cut off.
func blankForUnseen(c rune) rune {
	if c == utf8.RuneError || unicode.IsSpace(c) || unicode.IsControl(c) {
		return ' '
	}
	return c
}

// sameLabels reports whether a word is a domain, each label as A-label or U-label. It
// only compares: reading every word as a domain would cost more than a stranger pays.
func sameLabels(word, ascii, unicode string) bool {
	for ascii != "" {
		var a, u, label string
		a, ascii, _ = strings.Cut(ascii, ".")
		u, unicode, _ = strings.Cut(unicode, ".")
		if label, word, _ = strings.Cut(word, "."); label != a && label != u {
			return false
		}
	}
	return word == ""
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
