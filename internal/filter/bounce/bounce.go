// Package bounce recognises bounces, and which message each of them returns.
//
// It promises to be arithmetic over a message that costs bounded time and memory,
// whatever stands in it, and to find the returned Message-ID where RFC 6522 and RFC
// 6533 put it, and where other programs do: in the report's fields, or copied into a
// text, quoted, wrapped, and in whatever encoding.
package bounce

import (
	"io"
	"mime"
	"slices"
	"strings"

	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// Limits bound the reading of one message.
type Limits struct {
	// Octets is how much of a message is read.
	Octets int64
	// Depth is how many multiparts within each other are entered.
	Depth int
	// Parts is how many parts are looked at.
	Parts int
	// Returned is how many returned messages are remembered.
	Returned int
	// Mentioned is how many further identifiers are remembered, and as many queue
	// identifiers.
	Mentioned int
	// Header bounds a returned header section.
	Header message.Limits
}

// DefaultLimits are right for every bounce that was seen: what is returned stands
// behind a short text and a short report.
func DefaultLimits() Limits {
	return Limits{
		Octets: 1 << 20, Depth: 4, Parts: 20, Returned: 20, Mentioned: 20,
		Header: message.Limits{HeaderOctets: 256 << 10, Fields: 1000, Hops: 1000},
	}
}

// Kind says what a message is. The zero Kind is no bounce.
type Kind uint8

const (
	NoBounce Kind = iota
	Report        // a delivery status notification. RFC 3464
	Plain         // of a program that does not write those
)

// Returned is a message that came back, as far as its header section tells.
type Returned struct {
	MessageID string        // with its angle brackets, where it has them; "": it has none
	Domains   []mail.Domain // that it names as its author's
}

// Found is what a message turned out to be.
type Found struct {
	Kind     Kind
	Returned []Returned
	// Mentioned are identifiers that stand anywhere else in it, and Queue what has the
	// form of a queue identifier of ours. They prove by being known that a message of
	// ours came back; that one is not known says nothing.
	Mentioned []string
	Queue     []mail.ID
	// Failed are the recipients that a report names, at most Limits.Returned.
	Failed []Failure
}

// Failure is one recipient as a report tells of it. Whoever wrote that may have written anything.
type Failure struct {
	Domain mail.Domain // of the address; zero: it does not read
	Status string      // the enhanced status code, as it parses; "": there is none
}

// Read tells what the message with this header section is, whose body is read from r.
// An error is one of r's: what cannot be understood is no bounce, or one that names
// nothing.
func (l Limits) Read(h message.Header, body io.Reader) (Found, error) {
	kind := kindOf(h)
	if kind == NoBounce && !wraps(h) {
		return Found{}, nil
	}
	text, err := io.ReadAll(io.LimitReader(body, l.Octets))
	if err != nil {
		return Found{}, err
	}
	w := walk{l: l}
	w.entity(h.Value("Content-Type"), h.Value("Content-Transfer-Encoding"), text, 0)
	if kind == NoBounce && !w.report {
		return Found{}, nil
	}
	if kind == NoBounce {
		kind = Report
	}
	found := Found{Kind: kind, Returned: w.returned, Mentioned: w.mentioned, Queue: w.queue, Failed: w.failed}
	// What is copied into a text counts as returned where nothing else is.
	if len(found.Returned) == 0 {
		found.Returned = w.copied
		return found, nil
	}
	for _, c := range w.copied {
		w.mention(c.MessageID)
	}
	found.Mentioned = w.mentioned
	return found, nil
}

// wraps reports whether a message that does not look like a bounce may have one as its
// first part, as what passes through a list or a disclaimer has.
func wraps(h message.Header) bool {
	kind, _ := mediaType(h.Value("Content-Type"))
	return kind == "multipart/mixed" || kind == "multipart/signed"
}

// kindOf judges by the header section. A notification that a message was read is no
// bounce, nor is the answer of somebody who is away.
func kindOf(h message.Header) Kind {
	if kind, params := mediaType(h.Value("Content-Type")); kind == "multipart/report" {
		if isDelivery(params) {
			return Report
		}
		return NoBounce
	}
	if h.Count("X-Failed-Recipients") > 0 { // Exim
		return Plain
	}
	// Programs that write no reports are careless about the rest, too: the strict grammar
	// would not see them.
	for _, local := range h.Named("From").Locals {
		switch strings.ToLower(local) {
		case "mailer-daemon", "mail-daemon", "maildaemon", "postmaster", "mdaemon":
			return Plain
		}
	}
	return NoBounce
}

// isDelivery reports whether a multipart/report is a delivery status notification: RFC
// 3464 §2, and the name that RFC 6533 gives to the part, which is used here too.
func isDelivery(params map[string]string) bool {
	kind := strings.ToLower(params["report-type"])
	return kind == "delivery-status" || kind == "global-delivery-status"
}

// maxMediaType bounds what is read of a Content-Type, several times over. Honest ones have
// some hundred octets.
const maxMediaType = 16 << 10

// mediaType reads a Content-Type; what cannot be read is plain text (RFC 2045 §5.2),
// but for a multipart whose boundary is found all the same: many write it without
// the quotation marks that it needs.
func mediaType(s string) (kind string, params map[string]string) {
	s = s[:min(len(s), maxMediaType)]
	kind, params, err := mime.ParseMediaType(s)
	if err == nil {
		return kind, params
	}
	kind, rest, _ := strings.Cut(s, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	params = map[string]string{}
	for _, name := range []string{"boundary", "report-type", "charset"} {
		if v := parameter(rest, name); v != "" {
			params[name] = v
		}
	}
	if !strings.Contains(kind, "/") || strings.HasPrefix(kind, "multipart/") && params["boundary"] == "" {
		return "text/plain", nil
	}
	return kind, params
}

// parameter looks for one parameter in a list that breaks the rules.
func parameter(list, name string) string {
	for len(list) > 0 {
		var one string
		one, list, _ = strings.Cut(list, ";")
		n, v, ok := strings.Cut(strings.TrimSpace(one), "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(n), name) {
			continue
		}
		v = strings.TrimSpace(v)
		if quoted, ok := strings.CutPrefix(v, `"`); ok {
			v, _, _ = strings.Cut(quoted, `"`)
			return v
		}
		return strings.TrimRight(v, " \t")
	}
	return ""
}

// add appends one to a list that is bounded, once.
func add[T comparable](list []T, one T, most int) []T {
	if len(list) >= most || slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}

// Origin returns the domain in which a Message-ID says it was made.
func (r Returned) Origin() (mail.Domain, bool) {
	_, right, ok := strings.Cut(strings.Trim(r.MessageID, "<>"), "@")
	d, err := mail.ParseDomain(right)
	return d, ok && err == nil
}
