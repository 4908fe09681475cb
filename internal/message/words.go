package message

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"sallyport/internal/mail"
)

// decodeWords decodes the encoded words of s, so that addresses hidden in them can
// be found; it never decides what an address is. Charsets are not converted: ASCII
// stands for itself in nearly all of them. clean is false if a decoded word holds
// NUL, CR, LF or, in UTF-8, another character that deceives a reader. RFC 2047 §4.
func decodeWords(s string) (text string, clean bool) {
	if !strings.Contains(s, "=?") {
		return s, true
	}
	var b strings.Builder
	clean = true
	for afterWord := false; s != ""; {
		i := strings.Index(s, "=?")
		if i < 0 {
			i = len(s)
		}
		charset, word, n, ok := decodeWord(s[i:])
		if len(charset) >= 8 && strings.EqualFold(charset[:8], "iso-2022") {
			word = dropShifted(word)
		}
		if !ok {
			i, n = min(i+2, len(s)), 0
		}
		// RFC 2047 §6.2: white space between two encoded words is not shown.
		if gap := s[:i]; !afterWord || !ok || strings.Trim(gap, " \t") != "" {
			b.WriteString(gap)
		}
		b.WriteString(word)
		clean = clean && isClean(word)
		afterWord = ok
		s = s[i+n:]
	}
	return b.String(), clean
}

func isClean(word string) bool {
	if strings.ContainsAny(word, "\x00\r\n") {
		return false
	}
	return !utf8.ValidString(word) || strings.IndexFunc(word, func(c rune) bool { return c >= utf8.RuneSelf && isDeceptive(c) }) < 0
}

// maxEncodedWord bounds one encoded word. RFC 2047 §2 allows 75 octets, and many
// programs write longer ones.
const maxEncodedWord = 2048

// decodeWord decodes the encoded word at the start of s and returns its length.
func decodeWord(s string) (charset, text string, n int, ok bool) {
	s = s[:min(len(s), maxEncodedWord)]
	rest, found := strings.CutPrefix(s, "=?")
	charset, rest, found2 := strings.Cut(rest, "?")
	encoding, rest, found3 := strings.Cut(rest, "?")
	body, rest, found4 := strings.Cut(rest, "?=")
	if !(found && found2 && found3 && found4) || charset == "" || strings.ContainsAny(charset, " \t") {
		return "", "", 0, false
	}
	switch encoding {
	case "q", "Q":
		text = decodeQ(body)
	case "b", "B":
		raw, err := base64.StdEncoding.DecodeString(body)
		if err != nil {
			// Readers differ about broken padding; show what stands before it.
			raw = raw[:max(0, len(raw)-1)]
			if stripped, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(body, "=")); err == nil {
				raw = stripped
			}
		}
		text = string(raw)
	default:
		return "", "", 0, false
	}
	return charset, text, len(s) - len(rest), true
}

// dropShifted leaves out what stands between a shift to a double-octet set and the
// shift back, where ASCII octets mean other characters. RFC 1468.
func dropShifted(s string) string {
	var b strings.Builder
	for {
		before, shifted, found := strings.Cut(s, "\x1b$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, s, _ = strings.Cut(shifted, "\x1b(")
		s = s[min(1, len(s)):] // the letter that names the set
	}
}

// decodeQ decodes the "Q" encoding; a broken escape stands for itself. RFC 2047
// §4.2.
func decodeQ(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '_':
			b.WriteByte(' ')
		case s[i] == '=' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}

// addressesIn finds at most limit things in a text that look like addresses to a
// person.
func addressesIn(text string, limit int) []mail.Address {
	var found []mail.Address
	for from := 0; len(found) < limit; {
		i := strings.IndexByte(text[from:], '@')
		if i < 0 {
			break
		}
		at := from + i
		start, end := at, at+1
		for start > from && at-start < mail.MaxAddressOctets && isShownOctet(text[start-1]) {
			start--
		}
		for end < len(text) && end-at <= mail.MaxDomainOctets && isShownOctet(text[end]) {
			end++
		}
		local, domain := strings.Trim(text[start:at], ".'`"), strings.Trim(text[at+1:end], ".-'`")
		if a, err := mail.ParseAddress(local+"@"+domain, mail.UTF8); err == nil {
			found = append(found, a)
		}
		from = at + 1
	}
	return found
}

func isShownOctet(c byte) bool { return isAtext(c) || c == '.' }
