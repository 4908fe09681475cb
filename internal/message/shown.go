package message

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"sallyport/internal/mail"
)

// ShownDomains returns every domain that some program might read out of the fields of
// that name and show to a person, however badly they are written: behind encoded
// words, comments, quotes, white space around dots, a dot at the end, characters that
// look or map alike. It is for fields that Authors found a fault in, and for suspicion
// alone: a domain that is among them need not be meant.
func (h Header) ShownDomains(name string) []mail.Domain {
	var found []mail.Domain
	seen, known := map[string]bool{}, map[mail.Domain]bool{} // a field may hold a hundred thousand
	for _, f := range h.fields {
		if !h.named(f, name) {
			continue
		}
		for _, text := range readings(h.value(f)) {
			text = mapped(text)
			for _, reading := range []string{text, squeezed(text)} {
				for word := range strings.FieldsFuncSeq(reading, endsDomain) {
					if seen[word] {
						continue
					}
					seen[word] = true
					if d, err := mail.ParseDomain(strings.Trim(word, ".-")); err == nil && !known[d] {
						known[d] = true
						found = append(found, d)
					}
				}
			}
		}
	}
	return found
}

// readings are a value and what it is with its encoded words decoded, if that differs.
func readings(value string) []string {
	if decoded, _ := decodeWords(value); decoded != value {
		return []string{value, decoded}
	}
	return []string{value}
}

func endsDomain(c rune) bool {
	return c != '.' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && c < 0x80
}

// mapped does to a text what lenient programs do to domain names: one form of letters
// of several, lower case, no characters without width, full stops of every script as
// dots. UTS 46 §4.
func mapped(s string) string {
	if !isASCII(s) {
		s = norm.NFKC.String(strings.Map(withoutPhrases, s))
	}
	return strings.Map(func(c rune) rune {
		switch {
		case c < utf8.RuneSelf:
		case c == 0x3002: // ideographic full stop; NFKC made the others this one or a dot
			return '.'
		case unicode.Is(unicode.Cf, c), unicode.Is(unicode.Variation_Selector, c):
			return -1
		}
		return unicode.ToLower(c)
	}, s)
}

// withoutPhrases makes a blank of a character that NFKC turns into several words: no
// domain holds one, and the text would grow sixfold.
func withoutPhrases(c rune) rune {
	if c == 0xfdfa || c == 0xfdfb {
		return ' '
	}
	return c
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// squeezed leaves out comments, quotes, backslashes, and white space beside dots and
// "@": what stood around them is read together. RFC 5322 §4.4.
func squeezed(s string) string {
	var b strings.Builder
	depth, gap := 0, false
	joins := true // what was written last takes no white space behind it
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && depth > 0:
			i++
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0 || c == '\\' || c == '"':
		case isSpace(c):
			gap = true
		default:
			dot := c == '.' || c == '@'
			if gap && !dot && !joins {
				b.WriteByte(' ')
			}
			gap, joins = false, dot
			b.WriteByte(c)
		}
	}
	return b.String()
}
