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
	eachWord(s, func(gap string, word encodedWord) {
		b.WriteString(gap)
		if len(word.charset) >= 8 && strings.EqualFold(word.charset[:8], "iso-2022") {
			word.text = dropShifted(word.text)
		}
		b.WriteString(word.text)
		clean = clean && isClean(word.text)
	})
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

// encodedWord is one encoded word, its octets decoded. RFC 2047 §2.
type encodedWord struct{ charset, text string }

// eachWord parts a text at its encoded words: take is given what stands before one and the
// word, and at the end what stands behind the last, without a word. White space between
// two encoded words is not shown, and left out. RFC 2047 §6.2.
func eachWord(s string, take func(gap string, word encodedWord)) {
	r := wordReader{text: s}
	gap, after := 0, false
	for at := 0; ; {
		i := strings.Index(s[at:], "=?")
		if i < 0 {
			take(s[gap:], encodedWord{})
			return
		}
		at += i
		word, end, ok := r.word(at)
		if !ok {
			at += 2
			continue
		}
		between := s[gap:at]
		if after && strings.Trim(between, " \t") == "" {
			between = ""
		}
		take(between, word)
		gap, at, after = end, end, true
	}
}

// eachRun is eachWord that gives neighbours of one charset joined, since old programs cut
// within characters.
func eachRun(s string, take func(gap string, run encodedWord)) {
	gap, run := "", encodedWord{}
	var octets strings.Builder
	eachWord(s, func(before string, word encodedWord) {
		if before != "" || word.charset == "" || !strings.EqualFold(word.charset, run.charset) {
			if run.text = octets.String(); gap != "" || run.charset != "" {
				take(gap, run)
			}
			octets.Reset()
			gap, run = before, word
		}
		octets.WriteString(word.text)
	})
	if gap != "" {
		take(gap, encodedWord{})
	}
}

// wordReader reads the encoded words of a text, from its beginning to its end.
type wordReader struct {
	text    string
	closing int // where the next "?=" stands: it is looked for once, not for each opening
}

// word reads the encoded word that begins at an octet and returns where it ends.
func (r *wordReader) word(at int) (word encodedWord, end int, ok bool) {
	limit := min(len(r.text), at+maxEncodedWord)
	charset, rest, found := strings.Cut(r.text[min(at+2, limit):limit], "?")
	if !found || charset == "" || strings.ContainsAny(charset, " \t") || len(rest) < 2 || rest[1] != '?' {
		return word, 0, false
	}
	start := limit - len(rest) + 2
	if r.closing < start {
		if r.closing = len(r.text); start < r.closing {
			if i := strings.Index(r.text[start:], "?="); i >= 0 {
				r.closing = start + i
			}
		}
	}
	if r.closing+2 > limit {
		return word, 0, false
	}
	body := r.text[start:r.closing]
	switch word.charset = charset; rest[0] {
	case 'q', 'Q':
		word.text = decodeQ(body)
	case 'b', 'B':
		word.text = decodeB(body)
	default:
		return encodedWord{}, 0, false
	}
	return word, r.closing + 2, true
}

// decodeB decodes the "B" encoding. Readers differ about broken padding: what stands
// before it is shown. RFC 2047 §4.1.
func decodeB(s string) string {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err == nil {
		return string(raw)
	}
	if stripped, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "=")); err == nil {
		return string(stripped)
	}
	return string(raw[:max(0, len(raw)-1)])
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
