package message

import (
	"slices"
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
// alone: a domain that is among them need not be meant. Of names outside of ASCII the first
// 2,000 are read.
func (h Header) ShownDomains(name string) []mail.Domain {
	var found []mail.Domain
	seen, wide := map[string]bool{}, 0 // a field may hold a hundred thousand
	for _, f := range h.fields {
		if !h.looksNamed(f, name) {
			continue
		}
		for _, reading := range readings(h.value(f)) {
			for word := range strings.FieldsFuncSeq(reading, endsDomain) {
				word = strings.Trim(word, ".-")
				if seen[word] {
					continue
				}
				seen[word] = true
				if isWide(word) {
					if wide++; wide > maxWideWords {
						continue
					}
				}
				d, err := mail.ParseDomain(word)
				if err != nil || d.ASCII() != word && seen[d.ASCII()] {
					continue
				}
				seen[d.ASCII()] = true
				found = append(found, d)
			}
		}
	}
	return found
}

// maxWideWords bounds the names outside of ASCII that are read, each of which costs
// several times what one in ASCII does; in who writes more, enough are found to suspect him.
const maxWideWords = 2000

func isWide(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c >= 0x80 }) >= 0
}

// readings returns the texts that programs may read a value as, each once.
func readings(value string) []string {
	out := both(nil, mapped(value))
	if decoded, _ := decodeWords(value); decoded != value {
		out = both(out, mapped(decoded))
	}
	return out
}

// both adds a mapped text and what is left of it squeezed, unless they are there.
func both(out []string, text string) []string {
	if slices.Contains(out, text) {
		return out
	}
	out = append(out, text)
	if text = squeezed(text); !slices.Contains(out, text) {
		out = append(out, text)
	}
	return out
}

func endsDomain(c rune) bool {
	return c != '.' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && c < 0x80
}

// mapped does to a text what lenient programs do to domain names: one form of letters
// of several, lower case, no characters without width, full stops of every script as
// dots. UTS 46 §4. Octets that are no UTF-8 become one replacement character for all that
// stand together: no domain holds one, and the text would grow threefold.
func mapped(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	s = norm.NFKC.String(withoutPhrases(strings.ToValidUTF8(s, string(utf8.RuneError))))
	var b strings.Builder
	b.Grow(len(s))
	for _, c := range s {
		switch {
		case c < utf8.RuneSelf:
			b.WriteByte(lower(byte(c)))
		case c == 0x3002: // ideographic full stop; NFKC made the others this one or a dot
			b.WriteByte('.')
		case unicode.Is(unicode.Cf, c), unicode.Is(unicode.Variation_Selector, c):
		default:
			b.WriteRune(unicode.ToLower(c))
		}
	}
	return b.String()
}

// withoutPhrases makes a blank of a character that NFKC turns into several words: no
// domain holds one, and the text would grow sixfold.
func withoutPhrases(s string) string {
	for _, phrase := range []string{"\ufdfa", "\ufdfb"} {
		if strings.Contains(s, phrase) {
			s = strings.ReplaceAll(s, phrase, " ")
		}
	}
	return s
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
	b.Grow(len(s))
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
