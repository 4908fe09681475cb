// Package results writes Authentication-Results fields. RFC 8601.
//
// It promises a field that is well-formed and in ASCII whatever strangers put into
// the values: what cannot stand in it is left out, never passed on.
package results

import (
	"strings"

	"sallyport/internal/mail"
)

// Result is what one method said. RFC 8601 §2.2.
type Result struct {
	Method  string // "spf", "dkim", "dmarc"
	Value   string // "pass", "fail", as the method's registry names it
	Reason  string // in words, "" for none
	Comment string // in words, "" for none
	Props   []Prop
}

// Prop is a property that a result was found by: "header", "from", "example.org".
type Prop struct{ Type, Name, Value string }

// maxValue bounds the octets of one value that a stranger wrote.
const maxValue = 254

// Field returns the whole field with its CRLF; each result stands in a line of its
// own. No results say "none". id is who judged: our own name.
func Field(id mail.Domain, results []Result) []byte {
	var b strings.Builder
	b.WriteString("Authentication-Results: " + id.ASCII())
	if len(results) == 0 {
		b.WriteString("; none\r\n") // RFC 8601 §2.2: no-result
		return []byte(b.String())
	}
	for _, r := range results {
		b.WriteString(";\r\n\t" + r.Method + "=" + r.Value)
		if c := printable(r.Comment); c != "" {
			b.WriteString(" (" + c + ")")
		}
		if reason := printable(r.Reason); reason != "" {
			b.WriteString("\r\n\treason=" + quoted(reason))
		}
		for _, p := range r.Props {
			if v := value(p.Value); v != "" {
				b.WriteString("\r\n\t" + p.Type + "." + p.Name + "=" + v)
			}
		}
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

// value returns a property's value: an address or domain as it is, anything else
// quoted. "" for what cannot stand in a field of ASCII.
func value(s string) string {
	switch {
	case s == "" || len(s) > maxValue || strings.TrimRight(s, "=") != printable(s):
		return ""
	case token(s):
		return s
	}
	return quoted(s)
}

// token reports whether s may stand unquoted: a MIME token, or dot-atom "@" domain.
// RFC 8601 §2.2.
func token(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`()<>,;:\"/[]?=`, c)
	}) < 0
}

// quoted is a quoted string; s holds nothing that would have to be escaped in it.
func quoted(s string) string { return `"` + s + `"` }

// printable keeps what may stand in quoted strings and comments of ASCII, and bounds
// it. Parentheses, quotes, backslashes, semicolons and equals signs are lost: there
// are readers that look for results within quotes, too.
func printable(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || strings.ContainsRune(`()"\;=`, c) {
			return -1
		}
		return c
	}, s)
	return s[:min(len(s), maxValue)]
}
