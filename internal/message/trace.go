package message

import (
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/mail"
)

// Session is what of an SMTP session shows in the "with" clause.
type Session struct{ Extended, TLS, Auth, UTF8 bool }

// Protocol returns the keyword of the session: SMTP, ESMTP and its variants of
// RFC 3848, and those of RFC 6531 §4.3 for a message with SMTPUTF8.
func (s Session) Protocol() string {
	if !s.Extended {
		return "SMTP"
	}
	name := "ESMTP"
	if s.UTF8 {
		name = "UTF8SMTP"
	}
	if s.TLS {
		name += "S"
	}
	if s.Auth {
		name += "A"
	}
	return name
}

// Hop is one step of a message's way, as our Received field tells it.
type Hop struct {
	Hello   string      // what the client called itself; "" if it has no such name
	Remote  netip.Addr  // the client's address; invalid: not told
	By      mail.Domain // our own name
	Session Session
	ID      mail.ID
	// Cipher is the TLS cipher suite's registered name, "" for clear text.
	Cipher string
	// For is the recipient. Give it only for a message with a single one: it would
	// tell each recipient of the others.
	For mail.Address
	At  time.Time
}

// maxHello bounds what is shown of a client's name that is none.
const maxHello = 64

// usualReceived is what a Received field takes commonly.
const usualReceived = 320

// Received returns our Received field with its CRLF, in the grammar of RFC 5321
// §4.4. Nothing of the client's is copied unless it parses; other names are shown
// in a comment, escaped.
func Received(h Hop) []byte {
	var b strings.Builder
	b.Grow(usualReceived)
	b.WriteString("Received: ")
	if from := h.from(); from != "" {
		b.WriteString("from " + from + "\r\n\t")
	}
	b.WriteString("by " + h.By.ASCII() + " with " + h.Session.Protocol() + " id " + h.ID.String())
	if !h.For.IsZero() && (h.Session.UTF8 || h.For.IsASCII()) {
		b.WriteString("\r\n\tfor <" + h.For.String() + ">")
	}
	if isToken(h.Cipher) {
		b.WriteString("\r\n\ttls " + h.Cipher) // RFC 8314 §4.3
	}
	b.WriteString(";\r\n\t" + FormatDate(h.At) + "\r\n")
	return []byte(b.String())
}

// from returns the Extended-Domain: the name that the client gave, and the address
// that it has, which alone is true.
func (h Hop) from() string {
	literal := ""
	if h.Remote.IsValid() {
		literal = mail.FormatLiteral(h.Remote.Unmap().WithZone(""))
	}
	switch name := helloName(h.Hello); {
	case name != "" && literal != "":
		return name + " (" + literal + ")"
	case name != "":
		return name
	case h.Hello != "" && literal != "":
		return literal + " (hello " + commentText(h.Hello) + ")"
	}
	return literal
}

// helloName returns the client's name if it is a domain or an address literal.
// RFC 5321 §4.1.1.1.
func helloName(s string) string {
	if d, err := mail.ParseDomain(s); err == nil {
		return d.ASCII()
	}
	if ip, err := mail.ParseLiteral(s); err == nil {
		return mail.FormatLiteral(ip)
	}
	return ""
}

// commentText makes any text fit for a comment. RFC 5322 §3.2.2.
func commentText(s string) string {
	s = s[:min(len(s), maxHello)]
	return strings.Map(func(c rune) rune {
		if c <= 0x20 || c >= 0x7f || strings.ContainsRune(`()\"`, c) {
			return '?'
		}
		return c
	}, s)
}

// mostToken is the most octets of the name of a cipher; the longest that is registered has 45.
const mostToken = 64

// isToken reports whether s can stand as the cipher's name.
func isToken(s string) bool {
	return s != "" && len(s) <= mostToken && strings.IndexFunc(s, func(c rune) bool {
		return !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-')
	}) < 0
}

// FormatDate writes a date-time of RFC 5322 §3.3.
func FormatDate(t time.Time) string { return t.Format("Mon, 2 Jan 2006 15:04:05 -0700") }

// Missing returns the Date and Message-ID fields, with their CRLFs, that a
// submitted message lacks and that a submission server adds. RFC 6409 §8.2, §8.3.
// It is empty for a message that has both.
func Missing(h Header, id mail.ID, by mail.Domain, now time.Time) []byte {
	var b []byte
	if h.Count("Date") == 0 {
		b = append(b, "Date: "+FormatDate(now)+"\r\n"...)
	}
	if h.Count("Message-ID") == 0 {
		b = append(b, "Message-ID: <"+id.String()+"@"+by.ASCII()+">\r\n"...)
	}
	return b
}
