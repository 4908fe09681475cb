package fact

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"sallyport/internal/mail"
)

// Decode reads what Encode wrote. Keys that this release does not know are
// passed over; texts are made printable again, so that a fact that somebody else
// put into the store cannot harm the terminal of its reader. A broken or
// over-long fact is an error.
func Decode(b []byte) (Fact, error) {
	if len(b) > MaxFactOctets {
		return Fact{}, fmt.Errorf("trace: a fact of %d octets is too long", len(b))
	}
	// The sequencer decodes every fact once, so the form that Encode writes has
	// a reader of its own, several times as fast as the general one.
	if f, ok := decodeCanonical(b); ok {
		return f, nil
	}
	var w wireFact
	if err := json.Unmarshal(b, &w); err != nil {
		return Fact{}, fmt.Errorf("trace: broken fact: %w", err)
	}
	return w.fact()
}

// wireFact is the JSON form for the general reader.
type wireFact struct {
	At       string   `json:"at"`
	Until    string   `json:"until"`
	Kind     string   `json:"kind"`
	Rule     string   `json:"rule"`
	Conn     string   `json:"conn"`
	Queue    string   `json:"queue"`
	About    string   `json:"about"`
	MsgID    string   `json:"msgid"`
	Account  string   `json:"account"`
	Sender   string   `json:"sender"`
	Rcpt     string   `json:"rcpt"`
	Peer     string   `json:"peer"`
	Net      string   `json:"net"`
	Door     string   `json:"door"`
	Hello    string   `json:"hello"`
	Code     int64    `json:"code"`
	Status   string   `json:"status"`
	Reply    string   `json:"reply"`
	Remote   string   `json:"remote"`
	TLS      string   `json:"tls"`
	Size     int64    `json:"size"`
	Count    int64    `json:"count"`
	Text     string   `json:"text"`
	Bundle   string   `json:"bundle"`
	Digest   string   `json:"digest"`
	Part     int64    `json:"part"`
	Evidence []string `json:"evidence"`
	Rcpts    []string `json:"rcpts"`
	Cut      int64    `json:"cut"`
}

// fact hands each field to the setters that the canonical reader uses too, so
// that both readers understand a value alike.
func (w wireFact) fact() (Fact, error) {
	var f Fact
	ok := true
	for _, p := range []struct{ key, value string }{
		{"at", w.At}, {"until", w.Until}, {"kind", w.Kind}, {"rule", w.Rule}, {"conn", w.Conn},
		{"queue", w.Queue}, {"about", w.About}, {"msgid", w.MsgID}, {"account", w.Account},
		{"sender", w.Sender}, {"rcpt", w.Rcpt}, {"peer", w.Peer}, {"net", w.Net}, {"door", w.Door},
		{"hello", w.Hello}, {"status", w.Status}, {"reply", w.Reply}, {"remote", w.Remote},
		{"tls", w.TLS}, {"text", w.Text}, {"bundle", w.Bundle}, {"digest", w.Digest},
	} {
		if p.value != "" && !setText(&f, []byte(p.key), p.value) {
			ok = false
		}
	}
	f.Reply.Code, f.Size, f.Count, f.Part, f.Cut = int(w.Code), w.Size, int(w.Count), int(w.Part), int(w.Cut)
	if !ok || !setList(&f, []byte("evidence"), w.Evidence) || !setList(&f, []byte("rcpts"), w.Rcpts) {
		return Fact{}, fmt.Errorf("trace: broken fact: a value does not read back")
	}
	return f, nil
}

// setText sets one text field; false when the value does not parse or the key is
// unknown, which the canonical reader leaves to the general one.
func setText(f *Fact, key []byte, s string) bool {
	var err error
	switch string(key) {
	case "at":
		f.At, err = parseTime(s)
	case "until":
		f.Until, err = parseTime(s)
	case "queue":
		f.Queue, err = mail.ParseID(s)
	case "about":
		f.About, err = mail.ParseID(s)
	case "bundle":
		f.Bundle, err = mail.ParseID(s)
	case "peer":
		f.Peer, err = netip.ParseAddr(s)
		f.Peer = PlainAddr(f.Peer)
	case "net":
		f.Network, err = netip.ParsePrefix(s)
		f.Network = f.Network.Masked()
	case "status":
		return setStatus(f, s)
	case "reply":
		f.Reply.Text = CleanLines(s)
	default:
		return setWord(f, key, s)
	}
	return err == nil
}

// setWord sets the fields that any text fits.
func setWord(f *Fact, key []byte, s string) bool {
	switch string(key) {
	case "kind":
		f.Kind = Kind(Clean(s, MaxWord))
	case "rule":
		f.Rule = Clean(s, MaxWord)
	case "conn":
		f.Conn = Clean(s, MaxName)
	case "msgid":
		f.MessageID = Clean(s, MaxText)
	case "account":
		f.Account = Clean(s, MaxAddress)
	case "sender":
		f.Sender = Clean(s, MaxAddress)
	case "rcpt":
		f.Recipient = Clean(s, MaxAddress)
	case "door":
		f.Door = Clean(s, MaxWord)
	case "hello":
		f.Hello = Clean(s, MaxName)
	case "remote":
		f.Remote = Clean(s, MaxName)
	case "tls":
		f.TLS = Clean(s, MaxName)
	case "text":
		f.Text = Clean(s, MaxReply)
	case "digest":
		f.Digest = Clean(s, MaxWord)
	default:
		return false
	}
	return true
}

func setStatus(f *Fact, s string) bool {
	e, rest, ok := mail.ParseEnhanced(s)
	f.Reply.Enhanced = e
	return ok && rest == ""
}

func setNumber(f *Fact, key []byte, n int64) bool {
	switch string(key) {
	case "code":
		f.Reply.Code = int(n)
	case "size":
		f.Size = n
	case "count":
		f.Count = int(n)
	case "part":
		f.Part = int(n)
	case "cut":
		f.Cut = int(n)
	default:
		return false
	}
	return true
}

func setList(f *Fact, key []byte, list []string) bool {
	switch string(key) {
	case "evidence":
		if len(list)%2 != 0 || len(list) > 2*MaxEvidence {
			return false
		}
		f.Evidence = nil
		for i := 0; i < len(list); i += 2 {
			f.Evidence = append(f.Evidence, Pair{Clean(list[i], MaxWord), Clean(list[i+1], MaxText)})
		}
	case "rcpts":
		if len(list) > MaxRecipients {
			return false
		}
		f.Recipients = nil
		for _, s := range list {
			f.Recipients = append(f.Recipients, Clean(s, MaxAddress))
		}
	default:
		return false
	}
	return true
}

// parseTime reads RFC 3339 in UTC and keeps microseconds.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, err
	}
	t = t.UTC().Truncate(time.Microsecond)
	if t.Year() < 1 || t.Year() > mostYear {
		return time.Time{}, strconv.ErrRange
	}
	return t, nil
}

// scanner reads the form that Encode writes and nothing else; ok turns false at
// the first octet that Encode would not have written there.
type scanner struct {
	b  []byte
	i  int
	ok bool
}

func decodeCanonical(b []byte) (Fact, bool) {
	var f Fact
	s := scanner{b: b, ok: true}
	s.expect('{')
	for s.ok && s.peek() != '}' {
		if s.i > 1 {
			s.expect(',')
		}
		key := s.quoted()
		s.expect(':')
		if s.ok {
			s.value(&f, key)
		}
	}
	s.expect('}')
	return f, s.ok && s.i == len(b)
}

func (s *scanner) value(f *Fact, key []byte) {
	switch c := s.peek(); {
	case c == '"':
		if text := s.string(); s.ok {
			s.ok = setText(f, key, text)
		}
	case c == '[':
		if list := s.list(); s.ok {
			s.ok = setList(f, key, list)
		}
	default:
		if n := s.number(); s.ok {
			s.ok = setNumber(f, key, n)
		}
	}
}

func (s *scanner) peek() byte {
	if s.i >= len(s.b) {
		s.ok = false
		return 0
	}
	return s.b[s.i]
}

func (s *scanner) expect(c byte) {
	if s.peek() != c {
		s.ok = false
		return
	}
	s.i++
}

// quoted reads a JSON string without escapes and returns it in place.
func (s *scanner) quoted() []byte {
	s.expect('"')
	start := s.i
	for c := s.peek(); s.ok && c != '"'; c = s.peek() {
		if c == '\\' || c < 0x20 {
			s.ok = false
		}
		s.i++
	}
	if !s.ok {
		return nil
	}
	s.i++
	return s.b[start : s.i-1]
}

// string reads a JSON string with the escapes that Encode uses. Others send the
// fact to the general reader, as do texts that are not UTF-8, which clean would
// escape where encoding/json replaces.
func (s *scanner) string() string {
	s.expect('"')
	start, escaped, ascii := s.i, false, true
	for c := s.peek(); s.ok && c != '"'; c = s.peek() {
		switch {
		case c == '\\':
			escaped = true
			s.i++
			if n := s.peek(); n != '"' && n != '\\' && n != 'n' {
				s.ok = false
			}
		case c < 0x20:
			s.ok = false
		case c >= utf8.RuneSelf:
			ascii = false
		}
		s.i++
	}
	if !s.ok || !ascii && !utf8.Valid(s.b[start:s.i]) {
		s.ok = false
		return ""
	}
	raw := s.b[start:s.i]
	s.i++
	if escaped {
		return unescape(raw)
	}
	return string(raw)
}

func unescape(raw []byte) string {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '\\' {
			i++
			if c = raw[i]; c == 'n' {
				c = '\n'
			}
		}
		out = append(out, c)
	}
	return string(out)
}

func (s *scanner) list() []string {
	s.expect('[')
	var list []string
	for s.ok && s.peek() != ']' {
		if len(list) > 0 {
			s.expect(',')
		}
		list = append(list, s.string())
	}
	s.expect(']')
	return list
}

func (s *scanner) number() int64 {
	start := s.i
	for s.i < len(s.b) && (s.b[s.i] == '-' || s.b[s.i] >= '0' && s.b[s.i] <= '9') {
		s.i++
	}
	n, err := strconv.ParseInt(string(s.b[start:s.i]), 10, 64)
	// "007" and "-0" are no JSON, or not what Encode writes.
	if err != nil || strconv.FormatInt(n, 10) != string(s.b[start:s.i]) {
		s.ok = false
	}
	return n
}
