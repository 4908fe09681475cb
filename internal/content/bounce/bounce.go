// Package bounce reads bounces: whether a message is one, and which message it brings
// back.
//
// It promises to be arithmetic over a message that costs bounded time and memory,
// whatever stands in it, and to find the returned Message-ID where RFC 6522 and RFC
// 6533 put it, and where older programs do.
package bounce

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
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
	// Header bounds a returned header section.
	Header message.Limits
}

// DefaultLimits are right for every bounce that was seen: what is returned stands
// behind a short text and a short report.
func DefaultLimits() Limits {
	return Limits{Octets: 1 << 20, Depth: 4, Parts: 20, Returned: 5, Header: message.Limits{HeaderOctets: 256 << 10, Fields: 1000, Hops: 1000}}
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
	MessageID string        // with its angle brackets; "": it has none
	Domains   []mail.Domain // that it names as its author's
}

// Found is what a message turned out to be.
type Found struct {
	Kind     Kind
	Returned []Returned
}

// Read tells what the message with this header section is, whose body is read from r.
// An error is one of r's: what cannot be understood is no bounce, or one that names
// nothing.
func (l Limits) Read(h message.Header, body io.Reader) (Found, error) {
	kind := kindOf(h)
	if kind == NoBounce {
		return Found{}, nil
	}
	text, err := io.ReadAll(io.LimitReader(body, l.Octets))
	if err != nil {
		return Found{}, err
	}
	w := walk{l: l}
	w.entity(h.Value("Content-Type"), h.Value("Content-Transfer-Encoding"), bytes.NewReader(text), 0)
	if len(w.found) == 0 {
		w.lines(text)
	}
	return Found{Kind: kind, Returned: w.found}, nil
}

// kindOf judges by the header section. A notification that a message was read is no
// bounce, nor is the answer of somebody who is away.
func kindOf(h message.Header) Kind {
	kind, params, err := mime.ParseMediaType(h.Value("Content-Type"))
	if err == nil && kind == "multipart/report" {
		if strings.EqualFold(params["report-type"], "delivery-status") {
			return Report
		}
		return NoBounce
	}
	if h.Count("X-Failed-Recipients") > 0 { // Exim
		return Plain
	}
	for _, a := range h.Authors(mail.UTF8).From {
		switch strings.ToLower(a.Local()) {
		case "mailer-daemon", "mail-daemon", "maildaemon", "postmaster", "mdaemon":
			return Plain
		}
	}
	return NoBounce
}

// walk looks for returned messages.
type walk struct {
	l     Limits
	parts int
	found []Returned
}

func (w *walk) entity(contentType, encoding string, r io.Reader, depth int) {
	if w.parts++; w.parts > w.l.Parts || depth > w.l.Depth {
		return
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return
	}
	switch {
	case strings.HasPrefix(kind, "multipart/"):
		w.multipart(params["boundary"], r, depth)
	// RFC 6522 §3, RFC 6533 §5; the last is a mistake that is often made.
	case slices.Contains([]string{"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers", "message/rfc822-headers"}, kind):
		if strings.EqualFold(strings.TrimSpace(encoding), "base64") {
			r = base64.NewDecoder(base64.StdEncoding, r)
		}
		w.returned(r)
	}
}

func (w *walk) multipart(boundary string, r io.Reader, depth int) {
	if boundary == "" || len(boundary) > 200 {
		return
	}
	m := multipart.NewReader(r, boundary)
	for w.parts < w.l.Parts {
		p, err := m.NextPart()
		if err != nil {
			return
		}
		w.entity(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p, depth+1)
	}
}

// returned reads a header section. A text that breaks off is as good as a whole one.
func (w *walk) returned(r io.Reader) {
	text, err := io.ReadAll(io.LimitReader(r, int64(w.l.Header.HeaderOctets)))
	if err != nil && len(text) == 0 {
		return
	}
	// Some programs lose the CR of what they return.
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	if i := bytes.Index(text, []byte("\r\n\r\n")); i >= 0 {
		text = text[:i+4]
	}
	if h, err := w.l.Header.Parse(text); err == nil {
		w.add(h)
	}
}

func (w *walk) add(h message.Header) {
	r := Returned{MessageID: strings.TrimSpace(h.MessageID())}
	for _, a := range h.Authors(mail.UTF8).From {
		if d := a.Domain(); !d.IsZero() && !slices.Contains(r.Domains, d) {
			r.Domains = append(r.Domains, d)
		}
	}
	if (r.MessageID != "" || len(r.Domains) > 0) && len(w.found) < w.l.Returned {
		w.found = append(w.found, r)
	}
}

// lines looks in a text for the fields of a message that was copied into it, as qmail
// and others do, each line possibly behind a quotation mark.
func (w *walk) lines(text []byte) {
	var from, id string
	s := bufio.NewScanner(bytes.NewReader(text))
	s.Buffer(make([]byte, 0, 4<<10), 64<<10)
	for s.Scan() && (from == "" || id == "") {
		line := strings.TrimLeft(s.Text(), "> \t")
		name, value, ok := strings.Cut(line, ":")
		switch {
		case !ok:
		case id == "" && strings.EqualFold(name, "Message-ID"):
			id = strings.TrimSpace(value)
		case from == "" && strings.EqualFold(name, "From"):
			from = strings.TrimSpace(value)
		}
	}
	if from == "" && id == "" {
		return
	}
	var section strings.Builder
	for _, f := range [...]struct{ name, value string }{{"From", from}, {"Message-ID", id}} {
		if f.value != "" {
			section.WriteString(f.name + ": " + f.value + "\r\n")
		}
	}
	if h, err := w.l.Header.Parse([]byte(section.String())); err == nil {
		w.add(h)
	}
}

// Origin returns the domain in which a Message-ID says it was made.
func (r Returned) Origin() (mail.Domain, bool) {
	_, right, ok := strings.Cut(strings.Trim(r.MessageID, "<>"), "@")
	d, err := mail.ParseDomain(right)
	return d, ok && err == nil
}
