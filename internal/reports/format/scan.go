package format

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/unicode"
)

// event is what stands next in a document.
type event uint8

const (
	eventEnd   event = iota // the document is over
	eventOpen               // an element begins
	eventClose              // one ends
	eventText
)

// scanner reads XML as it comes: what is no tag is text, and what stands in a tag beside
// its name does not count. It keeps nothing open, so that no damage reaches further than
// where it stands. Document types are passed over, and nothing that they define is
// expanded.
type scanner struct {
	text         []byte
	at           int
	name         string // of the tag, without its prefix, in lower case
	data         []byte // of the text, as it stands
	cdata, empty bool   // the text is to be taken as it stands; the element ends at once
}

// next moves on.
func (s *scanner) next() event {
	for s.at < len(s.text) {
		if s.empty {
			s.empty = false
			return eventClose
		}
		rest := s.text[s.at:]
		if rest[0] != '<' || !isTag(rest) {
			n := bytes.IndexByte(rest[1:], '<') + 1
			if n == 0 {
				n = len(rest)
			}
			s.data, s.cdata = rest[:n], false
			s.at += n
			return eventText
		}
		switch {
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			s.cdata = true
			s.data = s.to(9, "]]>")
			return eventText
		case bytes.HasPrefix(rest, []byte("<!--")):
			s.to(4, "-->")
		case rest[1] == '?':
			s.to(2, "?>")
		case rest[1] == '!':
			s.doctype()
		default:
			return s.tag()
		}
	}
	if s.empty {
		s.empty = false
		return eventClose
	}
	return eventEnd
}

// isTag reports whether a "<" begins what it should: some write it as a character.
func isTag(rest []byte) bool {
	if len(rest) < 2 {
		return false
	}
	c := rest[1] | 0x20
	return c >= 'a' && c <= 'z' || rest[1] == '/' || rest[1] == '!' || rest[1] == '?' || rest[1] == '_' || rest[1] >= utf8.RuneSelf
}

// to passes what stands up to an end, or all, and returns it without its n first octets.
func (s *scanner) to(n int, end string) []byte {
	rest := s.text[s.at+n:]
	inner, _, found := bytes.Cut(rest, []byte(end))
	s.at += n + len(inner)
	if found {
		s.at += len(end)
	}
	return inner
}

// doctype passes "<!…>", with what stands in brackets in it.
func (s *scanner) doctype() {
	inner := s.to(2, ">")
	if bytes.IndexByte(inner, '[') >= 0 && bytes.IndexByte(inner, ']') < 0 {
		s.to(0, "]")
		s.to(0, ">")
	}
}

// tag passes a tag. Another "<" ends one that does not end.
func (s *scanner) tag() event {
	rest := s.text[s.at+1:]
	end := bytes.IndexAny(rest, "<>")
	if end < 0 {
		end = len(rest)
	}
	inner := rest[:end]
	if s.at += 1 + end; end < len(rest) && rest[end] == '>' {
		s.at++
	}
	inner, closes := bytes.CutPrefix(inner, []byte("/"))
	_, s.empty = bytes.CutSuffix(inner, []byte("/"))
	if n := bytes.IndexAny(inner, " \t\r\n/"); n >= 0 {
		inner = inner[:n]
	}
	inner = inner[:min(len(inner), maxText)]
	s.name = strings.ToLower(string(inner[bytes.LastIndexByte(inner, ':')+1:]))
	if closes {
		s.empty = false
		return eventClose
	}
	return eventOpen
}

// mostReference is how far the end of a reference is looked for; "#x10FFFF;" has nine characters.
// XML 1.0 §4.1.
const mostReference = 12

// plain returns the text that was found, with its references, up to a bound.
func (s *scanner) plain() string {
	data := s.data[:min(len(s.data), 4*maxText)]
	if s.cdata || bytes.IndexByte(data, '&') < 0 {
		return string(data)
	}
	var b strings.Builder
	for text := string(data); ; {
		before, after, found := strings.Cut(text, "&")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, rest, ended := strings.Cut(after[:min(len(after), mostReference)], ";")
		c, known := reference(name)
		if !ended || !known {
			b.WriteByte('&') // some write it as a character
			text = after
			continue
		}
		b.WriteRune(c)
		text = after[len(after[:min(len(after), mostReference)])-len(rest):]
	}
}

// reference is what "&name;" stands for. XML 1.0 §4.1, §4.6.
func reference(name string) (rune, bool) {
	switch name {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "apos":
		return '\'', true
	case "quot":
		return '"', true
	}
	digits, found := strings.CutPrefix(name, "#")
	base := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	return rune(n), found && err == nil && n <= utf8.MaxRune && utf8.ValidRune(rune(n))
}

// isXML reports whether octets begin as a document does, in any encoding.
func isXML(data []byte) bool {
	for _, start := range [...]string{"<", "\xef\xbb\xbf", "\xff\xfe<\x00", "\xfe\xff\x00<", "\x00<"} {
		if bytes.HasPrefix(data, []byte(start)) {
			return true
		}
	}
	return false
}

// declaredOctets is within how many octets a document says which encoding it is in.
const declaredOctets = 512

// declaredForm is how a document says which encoding it is in. XML 1.0 §4.3.3.
const declaredForm = "(?i)^<\\?xml[^>]{0,200}?encoding\\s*=\\s*[\"']?([a-z0-9._:-]{1,40})"

// toUTF8 returns a document in UTF-8, from what its first octets say it is in; what has
// no meaning there becomes U+FFFD.
func toUTF8(data []byte) []byte {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("<\x00")):
		return decode16(data, unicode.LittleEndian)
	case bytes.HasPrefix(data, []byte("\xfe\xff")), bytes.HasPrefix(data, []byte("\x00<")):
		return decode16(data, unicode.BigEndian)
	}
	bom := false
	data, bom = bytes.CutPrefix(data, []byte("\xef\xbb\xbf"))
	data = bytes.TrimLeft(data, " \t\r\n")
	name := []byte(nil)
	if m := regexp.MustCompile(declaredForm).FindSubmatch(data[:min(len(data), declaredOctets)]); m != nil {
		name = m[1]
	}
	enc, label := charset.Lookup(string(name))
	// Whoever says UTF-16 in octets that are none does not mean it.
	if bom || enc == nil || label == "utf-8" || strings.HasPrefix(label, "utf-16") || label == "replacement" {
		return bytes.ToValidUTF8(data, []byte("\ufffd"))
	}
	text, err := enc.NewDecoder().Bytes(data)
	if err != nil {
		return bytes.ToValidUTF8(data, []byte("\ufffd"))
	}
	return text
}

func decode16(data []byte, order unicode.Endianness) []byte {
	text, err := unicode.UTF16(order, unicode.UseBOM).NewDecoder().Bytes(data)
	if err != nil {
		return nil
	}
	return bytes.TrimLeft(text, " \t\r\n")
}
