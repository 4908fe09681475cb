package fact

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/mail"
)

// Bounds of an encoded fact. They belong to the format, not to a configuration:
// a reader may rely on them.
const (
	// MaxFactOctets is the greatest length of an encoded fact.
	MaxFactOctets = 32 << 10
	// MaxRecipients is how many recipients one fact names; Split spreads more.
	MaxRecipients = 50
	// MaxEvidence is how many pieces of evidence one fact carries.
	MaxEvidence = 32
)

// Greatest lengths of the texts in a fact, in octets after escaping.
const (
	// MaxWord bounds the kind, the rule, the door and the names of evidence.
	MaxWord = 64
	// MaxName bounds the hello, the remote, the connection and what is said of TLS.
	MaxName = 256
	// MaxAddress bounds an address, and what was sent in place of one.
	MaxAddress = 320
	// MaxText bounds the Message-ID and a value of evidence.
	MaxText = 512
	// MaxReply bounds the text of a reply and free text.
	MaxReply = 1024
)

const timeFormat = "2006-01-02T15:04:05.000000Z"

// Encode writes the fact as one JSON object on one line, with stable keys and
// without empty fields. What is too long is cut at a "…"; list elements that do
// not fit are counted in Cut. It never fails and never exceeds MaxFactOctets.
func (f Fact) Encode() []byte {
	e := encoder{b: make([]byte, 1, 384)}
	e.b[0] = '{'
	e.time("at", f.At)
	e.time("until", f.Until)
	e.text("kind", string(f.Kind), MaxWord)
	e.text("rule", f.Rule, MaxWord)
	e.text("conn", f.Conn, MaxName)
	e.id("queue", f.Queue)
	e.id("about", f.About)
	e.text("msgid", f.MessageID, MaxText)
	e.text("account", f.Account, MaxAddress)
	e.text("sender", f.Sender, MaxAddress)
	e.text("rcpt", f.Recipient, MaxAddress)
	e.peer(f.Peer)
	e.network(f.Network)
	e.text("door", f.Door, MaxWord)
	e.text("hello", f.Hello, MaxName)
	e.reply(f.Reply)
	e.text("remote", f.Remote, MaxName)
	e.text("tls", f.TLS, MaxName)
	e.number("size", f.Size)
	e.number("count", int64(f.Count))
	e.text("text", f.Text, MaxReply)
	e.id("bundle", f.Bundle)
	e.text("digest", f.Digest, MaxWord)
	e.number("part", int64(f.Part))
	cut := e.evidence(f.Evidence) + e.recipients(f.Recipients)
	e.number("cut", int64(f.Cut)+int64(cut))
	return append(e.b, '}')
}

// MarshalJSON writes what Encode writes.
func (f Fact) MarshalJSON() ([]byte, error) { return f.Encode(), nil }

// UnmarshalJSON reads with Decode.
func (f *Fact) UnmarshalJSON(b []byte) error {
	v, err := Decode(b)
	*f = v
	return err
}

type encoder struct{ b []byte }

func (e *encoder) key(k string) {
	if len(e.b) > 1 {
		e.b = append(e.b, ',')
	}
	e.b = append(e.b, '"')
	e.b = append(e.b, k...)
	e.b = append(e.b, '"', ':')
}

func (e *encoder) text(k, s string, max int) {
	if s == "" {
		return
	}
	e.key(k)
	e.b = appendQuoted(e.b, Clean(s, max))
}

// mostYear is the last year that has four digits, as a time of a fact has. RFC 3339 §5.6.
const mostYear = 9999

func (e *encoder) time(k string, t time.Time) {
	t = t.UTC()
	// A year outside the format would not read back; no clock shows one.
	if t.IsZero() || t.Year() < 1 || t.Year() > mostYear {
		return
	}
	e.key(k)
	e.b = append(e.b, '"')
	e.b = t.AppendFormat(e.b, timeFormat)
	e.b = append(e.b, '"')
}

func (e *encoder) id(k string, id mail.ID) {
	if !id.IsZero() {
		e.key(k)
		e.b = appendQuoted(e.b, id.String())
	}
}

func (e *encoder) number(k string, n int64) {
	if n != 0 {
		e.key(k)
		e.b = strconv.AppendInt(e.b, n, 10)
	}
}

func (e *encoder) peer(a netip.Addr) {
	if a.IsValid() {
		e.key("peer")
		e.b = append(e.b, '"')
		e.b = PlainAddr(a).AppendTo(e.b)
		e.b = append(e.b, '"')
	}
}

func (e *encoder) network(p netip.Prefix) {
	if p.IsValid() {
		e.key("net")
		e.b = append(e.b, '"')
		e.b = p.Masked().AppendTo(e.b)
		e.b = append(e.b, '"')
	}
}

// reply writes code, enhanced code and text; lines stay parted by "\n", which is
// the only control character that a fact may hold.
func (e *encoder) reply(r mail.Reply) {
	e.number("code", int64(r.Code))
	if s := r.Enhanced.String(); s != "" {
		if _, rest, ok := mail.ParseEnhanced(s); ok && rest == "" {
			e.text("status", s, MaxWord)
		}
	}
	if r.Text != "" {
		e.key("reply")
		e.b = appendQuoted(e.b, CleanLines(r.Text))
	}
}

// listReserve is kept free for what follows a list: brackets, "cut", the brace.
const listReserve = 64

func (e *encoder) evidence(pairs []Pair) (cut int) {
	if len(pairs) == 0 {
		return 0
	}
	e.key("evidence")
	e.b = append(e.b, '[')
	for i, p := range pairs {
		mark := len(e.b)
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = appendQuoted(e.b, Clean(p.Name, MaxWord))
		e.b = append(e.b, ',')
		e.b = appendQuoted(e.b, Clean(p.Value, MaxText))
		if i >= MaxEvidence || len(e.b) > MaxFactOctets-2*listReserve {
			e.b, cut = e.b[:mark], len(pairs)-i
			break
		}
	}
	e.b = append(e.b, ']')
	return cut
}

func (e *encoder) recipients(list []string) (cut int) {
	if len(list) == 0 {
		return 0
	}
	e.key("rcpts")
	e.b = append(e.b, '[')
	for i, s := range list {
		mark := len(e.b)
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = appendQuoted(e.b, Clean(s, MaxAddress))
		if i >= MaxRecipients || len(e.b) > MaxFactOctets-listReserve {
			e.b, cut = e.b[:mark], len(list)-i
			break
		}
	}
	e.b = append(e.b, ']')
	return cut
}

// appendQuoted writes a cleaned text as a JSON string.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// Clean returns s with everything that is not printable written as a Go escape,
// cut to max octets. Applying it again changes nothing.
func Clean(s string, max int) string {
	if len(s) <= max && isPrintable(s) {
		return s
	}
	const ellipsis = "…"
	var b strings.Builder
	for i := 0; i < len(s); {
		piece, n := mail.ShownRune(s[i:])
		i += n
		rest := len(ellipsis)
		if i == len(s) {
			rest = 0
		}
		if b.Len()+len(piece)+rest > max {
			b.WriteString(ellipsis)
			break
		}
		b.WriteString(piece)
	}
	return b.String()
}

// CleanLines cleans each line of a reply by itself; together they have MaxReply octets at
// most.
func CleanLines(s string) string {
	if len(s) <= MaxReply && mail.IsPlain(s) {
		return s
	}
	lines := strings.Split(s[:min(len(s), 4*MaxReply)], "\n")
	left := MaxReply
	for i, l := range lines {
		if left < len("…") {
			lines = lines[:i]
			break
		}
		lines[i] = Clean(l, left)
		left -= len(lines[i]) + 1
	}
	return strings.Join(lines, "\n")
}

// isPrintable reports whether clean has nothing to escape.
func isPrintable(s string) bool {
	if mail.IsPlain(s) {
		return true
	}
	return mail.Shown(s) == s
}

// PlainAddr drops what makes one address look like two: the IPv4-in-IPv6 form,
// and the zone, which only means something on this host.
func PlainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
