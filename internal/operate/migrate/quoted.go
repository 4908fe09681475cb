package migrate

import (
	"strings"

	"sallyport/internal/mail"
)

// quotes follows where a text is quoted, octet by octet, as Postfix reads tables and RFC 5322
// writes addresses: between double quotes, and behind a backslash there.
type quotes struct{ in, escaped bool }

// next takes one octet and reports whether it is text: no quote, and no backslash that
// escapes what follows it.
func (q *quotes) next(c byte) (text bool) {
	switch {
	case q.escaped:
		q.escaped = false
		return true
	case q.in && c == '\\':
		q.escaped = true
		return false
	case c == '"':
		q.in = !q.in
		return false
	}
	return true
}

// split parts a list at some octets outside of quotes, and leaves out what is empty.
func split(s, at string) (all []string) {
	var q quotes
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && (!q.next(s[i]) || q.in || strings.IndexByte(at, s[i]) < 0) {
			continue
		}
		if t := strings.TrimSpace(s[start:i]); t != "" {
			all = append(all, t)
		}
		start = i + 1
	}
	return all
}

// addressOf is a target of an alias as an address, as RFC 5322 §3.4 lets people write it: without the
// name before it and the brackets around it, and without comments. What is a command, a file or a list
// stays.
func addressOf(s string) string {
	s = strings.TrimSpace(s)
	if begin := strings.TrimLeft(s, `" `); begin == "" || strings.IndexByte(`|/:\`, begin[0]) >= 0 {
		return s
	}
	var q quotes
	var plain strings.Builder
	depth, open := 0, -1
	for i := range len(s) {
		text := q.next(s[i]) && !q.in
		switch {
		case text && s[i] == '(':
			depth++
		case text && s[i] == ')' && depth > 0:
			depth--
		case depth > 0:
		case text && s[i] == '<':
			open = i
		case text && s[i] == '>' && open >= 0:
			return strings.TrimSpace(s[open+1 : i])
		default:
			plain.WriteByte(s[i])
		}
	}
	if depth > 0 || open >= 0 {
		return s // it does not end
	}
	return strings.TrimSpace(plain.String())
}

// addressesOf parts a right side of virtual(5) into its addresses: at commas, and at blanks where they
// stand in no name.
func addressesOf(value string) (all []string) {
	for _, t := range split(value, ",") {
		a := addressOf(t)
		if a != t && strings.Contains(t, "<") {
			all = append(all, a)
			continue
		}
		all = append(all, split(a, " \t")...)
	}
	return all
}

// requoted is a name or an address as addresses are compared here: quoted where it can't be
// written without, and nowhere else. What is no name (a command, a file, a list, a domain)
// has no quotes.
func requoted(s string) string {
	var b strings.Builder
	var q quotes
	at := -1
	for i := range len(s) {
		if !q.next(s[i]) {
			continue
		}
		if s[i] == '@' && !q.in {
			at = b.Len()
		}
		b.WriteByte(s[i])
	}
	text := b.String()
	if text == s || at == 0 || text == "" || strings.HasPrefix(text, "|") || strings.HasPrefix(text, "/") || strings.HasPrefix(text, ":include:") {
		return text
	}
	if at < 0 {
		return mail.QuoteLocal(text)
	}
	return mail.QuoteLocal(text[:at]) + text[at:]
}
