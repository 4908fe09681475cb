package query

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/trace/index"
)

// Bounds of what ParseQuery reads.
const (
	// MaxQueryOctets is how much of a pasted text is read.
	MaxQueryOctets = 256 << 10
	// maxQueryTerms is how many terms one text yields.
	maxQueryTerms = 32
)

// ParseQuery reads what a person has at hand: a queue id, a message-id, an
// address, an IP address or network, a connection id, or a pasted header,
// bounce or log line, of which it takes whatever can be looked for. The terms
// come best first: what names one message before what names a person.
//
// A single word may be told what it is: "queue:", "msgid:", "addr:", "ip:", "conn:", "remote:" or
// "envid:" before it; behind the last there may be blanks.
func ParseQuery(s string) (Query, error) {
	s = strings.ToValidUTF8(s[:min(len(s), MaxQueryOctets)], "")
	text := strings.TrimSpace(s)
	if text == "" {
		return Query{}, ErrNoTerm
	}
	// A quoted local-part may hold a space.
	_, err := mail.ParseAddress(strings.Trim(text, "<>"), mail.UTF8)
	if err == nil || isEnvelope(text) || !strings.ContainsFunc(text, unicode.IsSpace) {
		t, err := parseWord(text)
		if err != nil {
			return Query{}, err
		}
		return Query{Terms: t}, nil
	}
	var c collector
	c.header(text)
	c.words(text)
	if terms := c.terms(); len(terms) > 0 {
		return Query{Terms: terms}, nil
	}
	return Query{}, fmt.Errorf("%w in the pasted text: it has no queue id, message-id, address, IP address or id of another server", ErrNoTerm)
}

// parseWord reads one word.
func parseWord(s string) ([]Term, error) {
	if field, rest, ok := cutField(s); ok {
		t := Term{field, rest}
		_, err := newMatcher(t)
		return []Term{t}, err
	}
	if _, err := mail.ParseID(s); err == nil {
		return []Term{{FieldQueue, s}}, nil
	}
	if n, ok := asNetwork(s); ok {
		return []Term{{FieldPeer, n}}, nil
	}
	inner := strings.Trim(s, "<>")
	if strings.Contains(inner, "@") {
		// In brackets it can be either; a bare one is more likely a person.
		id, a, envelope := Term{FieldMessageID, inner}, Term{FieldAddress, inner}, Term{FieldEnvelope, s}
		if strings.HasPrefix(s, "<") {
			return []Term{id, a, envelope}, nil
		}
		return []Term{a, id, envelope}, nil
	}
	if len(s) <= fact.MaxName && mail.IsPlain(s) {
		terms := []Term{{FieldConn, s}}
		if len(index.RemoteIDs(s)) == 1 {
			terms = append(terms, Term{FieldRemote, s})
		}
		return append(terms, Term{FieldEnvelope, s}), nil
	}
	return nil, fmt.Errorf("%w: %s is no queue id, message-id, address, IP address or connection", ErrNoTerm, mail.Printable(s, mail.ValueShown))
}

// cutField reads an explicit field. An IPv6 address has colons too, but none of
// these words before them.
func cutField(s string) (Field, string, bool) {
	word, rest, ok := strings.Cut(s, ":")
	if !ok || rest == "" {
		return "", "", false
	}
	switch strings.ToLower(word) {
	case "queue", "id":
		return FieldQueue, rest, true
	case "msgid", "message-id":
		return FieldMessageID, rest, true
	case "addr", "address", "account":
		return FieldAddress, rest, true
	case "ip", "client":
		return FieldPeer, rest, true
	case "conn", "connection":
		return FieldConn, rest, true
	case "remote":
		return FieldRemote, rest, true
	case "envid", "envelope-id":
		return FieldEnvelope, rest, true
	}
	return "", "", false
}

// isEnvelope reports whether a text is an envelope id that is told to be one: it may hold blanks. RFC 3461 §4.4.
func isEnvelope(s string) bool {
	field, _, ok := cutField(s)
	return ok && field == FieldEnvelope && !strings.Contains(s, "\n")
}

// asNetwork reads an address or network, also in the brackets of a literal.
func asNetwork(s string) (string, bool) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		s = strings.TrimSuffix(inner, "]")
		if len(s) >= 6 && strings.EqualFold(s[:5], "IPv6:") {
			s = s[5:]
		}
	}
	// A bare number is no network, though "10/8" might be read as one. Most words of a text
	// are none either, and an error costs more than a look.
	if !strings.ContainsAny(s, ".:") || strings.Trim(s, "0123456789abcdefABCDEF.:/ ") != "" && !strings.Contains(s, "%") {
		return "", false
	}
	p, err := parseNetwork(s)
	if err != nil {
		return "", false
	}
	if p.IsSingleIP() {
		return p.Addr().String(), true
	}
	return p.String(), true
}

// collector gathers terms from a pasted text, by how well they name a message.
type collector struct{ queues, ids, envelopes, failed, people, clients, remotes []Term }

func (c *collector) terms() []Term {
	// A bounce quotes the header of the message that it is about below its own,
	// so what stands later comes first.
	slices.Reverse(c.ids)
	slices.Reverse(c.failed)
	var out []Term
	seen := map[Term]bool{}
	for _, list := range [][]Term{c.queues, c.ids, c.envelopes, c.failed, c.people, c.clients} {
		for _, t := range list {
			if !seen[t] && len(out) < maxQueryTerms {
				seen[t] = true
				out = append(out, t)
			}
		}
	}
	if len(out) == 0 {
		return c.remotes
	}
	return out
}

// header reads header fields and the fields of a delivery status (RFC 3464 §2),
// wherever they stand in the text.
func (c *collector) header(text string) {
	name := ""
	for line := range strings.Lines(text) {
		// A reader's quoting is no part of the header.
		line = strings.TrimLeft(line, ">")
		value := line
		// RFC 5322 §2.2.3: a line that begins with white space continues a field.
		if line = strings.TrimPrefix(line, " "); line == value || !strings.HasPrefix(line, " ") {
			if n, v, ok := strings.Cut(line, ":"); ok && !strings.ContainsAny(n, " \t<") {
				name, value = strings.ToLower(n), v
			}
		}
		c.field(name, value)
	}
}

// field takes what one line of a header field names.
func (c *collector) field(name, value string) {
	switch name {
	case "message-id", "in-reply-to", "references":
		for _, w := range strings.Fields(value) {
			if inner := strings.Trim(w, "<>"); strings.Contains(inner, "@") {
				c.ids = append(c.ids, Term{FieldMessageID, inner})
			}
		}
	case "original-envelope-id":
		// RFC 3464 §2.2.1. Where the sender gave none, it is our own queue id in some reports, which words takes.
		value = strings.TrimSpace(value)
		if _, err := mail.ParseID(value); err != nil && index.EnvelopeID(value) != "" {
			c.envelopes = append(c.envelopes, Term{FieldEnvelope, value})
		}
	case "final-recipient", "original-recipient":
		// RFC 3464 §2.3.1: type ";" address.
		if _, a, ok := strings.Cut(value, ";"); ok {
			c.failed = appendPerson(c.failed, strings.TrimSpace(a))
		}
	}
}

// words takes queue ids, addresses and clients from anywhere in the text: the
// "id" in our Received fields, an Original-Envelope-Id, a line of a log.
func (c *collector) words(text string) {
	for w := range strings.FieldsFuncSeq(text, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune(`<>()",;=`, r)
	}) {
		w = strings.Trim(w, ".:'")
		if _, err := mail.ParseID(w); err == nil {
			c.queues = append(c.queues, Term{FieldQueue, w})
			continue
		}
		if n, ok := asNetwork(w); ok {
			if a, err := netip.ParseAddr(n); err == nil && !a.IsLoopback() && !a.IsUnspecified() {
				c.clients = append(c.clients, Term{FieldPeer, n})
			}
			continue
		}
		c.people = appendPerson(c.people, w)
		// What another server calls the message, as in "queued as 4ZxYab1c". Most words with a digit are nothing of the kind,
		// so that they count where there is nothing else.
		if len(c.remotes) < maxQueryTerms && len(index.RemoteIDs(w)) == 1 {
			c.remotes = append(c.remotes, Term{FieldRemote, w})
		}
	}
}

func appendPerson(list []Term, s string) []Term {
	if !strings.Contains(s, "@") {
		return list // most words of a text are none, and an error costs more than a look
	}
	a, err := mail.ParseAddress(strings.Trim(s, "<>"), mail.UTF8)
	if err != nil {
		return list
	}
	return append(list, Term{FieldAddress, a.String()})
}
