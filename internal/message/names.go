package message

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// Phrase writes a display name as every reader reads it: ASCII in quotes, and what is
// beyond ASCII in encoded words, in which nothing stands that has a meaning in an
// address. RFC 5322 §3.2.5, RFC 2047 §5. What is no text becomes a blank.
func Phrase(name string) string {
	words := strings.FieldsFunc(name, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) })
	name = strings.Join(words, " ")
	switch {
	case name == "":
		return ""
	case isASCII(name) && isQuotable(name):
		return quotedString(name)
	}
	words = withoutQuotes(words)
	if name = strings.Join(words, " "); !isASCII(name) && !strings.ContainsAny(name, hiding) {
		return encodedWords(name)
	}
	return mixedPhrase(words)
}

// isQuotable reports whether a text can stand in a quoted-string. Some readers end one at
// an escaped quotation mark: between two of them nothing may stand that parts a list.
func isQuotable(text string) bool {
	parts := strings.Split(text, `"`)
	for i := 1; i < len(parts); i += 2 {
		if strings.ContainsAny(parts[i], specials) {
			return false
		}
	}
	return len(parts)%2 == 1 && !strings.Contains(text, `\`) && !strings.Contains(text, "=?")
}

const (
	// specials end or begin something in an address list. RFC 5322 §3.2.3.
	specials = `"\<>@()[]:;,`
	// hiding are those that may not be shown to a program that decodes a name before it
	// reads the address: a comma by itself parts a name, and names nobody.
	hiding = `"\<>@()[]:;`
	// withinWords are those at which a word is parted.
	withinWords = `"\<>()[]:;,`
)

// withoutQuotes writes quotation marks as print has them, and backslashes as slashes:
// there are readers that do not know them in a quoted-string.
func withoutQuotes(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		if rest, ok := strings.CutPrefix(w, `"`); ok {
			w = "\u201c" + rest
		}
		out[i] = strings.NewReplacer(`"`, "\u201d", `\`, "/").Replace(w)
	}
	return out
}

// mixedPhrase writes words of ASCII in quotes, and the others encoded, without the special
// characters in them, which go into quotes too: a program that decodes a name before it
// reads the address would end it there. An "@" within a word stays, and is found.
func mixedPhrase(words []string) string {
	var out, plain, encoded []string
	flush := func(of *[]string, write func(string) string) {
		if len(*of) > 0 {
			out = append(out, write(strings.Join(*of, " ")))
			*of = nil
		}
	}
	for _, w := range words {
		if isASCII(w) && !strings.Contains(w, "=?") {
			flush(&encoded, encodedWords)
			plain = append(plain, w)
			continue
		}
		for i := 0; i < len(w); {
			core := strings.TrimLeft(w[i:], specials)
			if before := w[i : len(w)-len(core)]; before != "" {
				flush(&encoded, encodedWords)
				plain = append(plain, before)
			}
			end := strings.IndexAny(core, withinWords)
			if end < 0 {
				end = len(strings.TrimRight(core, specials))
			}
			switch piece := core[:end]; {
			case piece == "":
			case isASCII(piece) && !strings.Contains(piece, "=?"):
				flush(&encoded, encodedWords)
				plain = append(plain, piece)
			default:
				flush(&plain, quotedString)
				encoded = append(encoded, piece)
			}
			i = len(w) - len(core) + end
		}
	}
	flush(&encoded, encodedWords)
	flush(&plain, quotedString)
	return strings.Join(out, " ")
}

// isAtoms reports whether a text of ASCII can stand as it is: words of letters, digits
// and what no reader takes for anything else.
func isAtoms(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c == ' ' || isPlainOctet(c) || strings.IndexByte("'-!*+/&_", c) >= 0) {
			return false
		}
	}
	return true
}

func isPlainOctet(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// quotedString writes a text of ASCII as a quoted-string. RFC 5322 §3.2.4.
func quotedString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// maxWordOctets bounds an encoded word. RFC 2047 §2.
const maxWordOctets = 75

// encodedWords writes a text in encoded words of the Q encoding, as it may stand in a
// phrase. RFC 2047 §5 (3).
func encodedWords(s string) string {
	const open, closing, hex = "=?utf-8?q?", "?=", "0123456789ABCDEF"
	var b strings.Builder
	b.WriteString(open)
	room := maxWordOctets - len(open) - len(closing)
	for _, c := range s {
		var piece []byte
		switch {
		case c == ' ':
			piece = []byte("_")
		case c < utf8.RuneSelf && isPlainOctet(byte(c)):
			piece = []byte{byte(c)}
		default:
			for _, o := range []byte(string(c)) {
				piece = append(piece, '=', hex[o>>4], hex[o&15])
			}
		}
		if room < len(piece) {
			b.WriteString(closing + " " + open)
			room = maxWordOctets - len(open) - len(closing)
		}
		room -= len(piece)
		b.Write(piece)
	}
	return b.String() + closing
}

// nameText is a display name as it is read: its words unquoted and decoded. kept says
// that it consists of nothing but atoms and whole encoded words.
type nameText struct {
	text string
	kept bool
	ok   bool // every charset in it is known, and nothing in it deceives a reader
}

// readName reads a phrase without comments, as it stands in a field.
func readName(phrase string) nameText {
	var words []string
	for i := 0; i < len(phrase); {
		start := i
		switch c := phrase[i]; {
		case isSpace(c):
			i++
			continue
		case c == '"':
			for i++; i < len(phrase) && phrase[i] != '"'; i++ {
				if phrase[i] == '\\' {
					i++
				}
			}
			i = min(i+1, len(phrase))
			words = append(words, unquote(phrase[start:i]))
			continue
		case c == '(':
			r := addressReader{text: phrase, at: i}
			r.comment()
			i = r.at
			continue
		}
		for i < len(phrase) && !isSpace(phrase[i]) && phrase[i] != '"' && phrase[i] != '(' {
			i++
		}
		words = append(words, phrase[start:i])
	}
	joined := strings.Join(words, " ")
	n := nameText{kept: joined == phrase}
	n.text, n.ok = decodeName(joined)
	return n
}

// commentTexts reads comments, one behind the other, without their parentheses.
func commentTexts(comments string) (text string, ok bool) {
	var all []string
	for r := (addressReader{text: comments}); r.at < len(comments) && r.fault == ""; {
		start := r.at
		r.comment()
		if one := strings.TrimSpace(unquote(comments[start:r.at])); one != "" {
			all = append(all, one)
		}
	}
	return decodeName(strings.Join(all, " "))
}

// decodeName decodes the encoded words of a name in their charsets. What is raw and no
// UTF-8 is read as Windows-1252, which is what programs that know nothing of charsets
// write; ok is false where a charset is not known, or a character deceives. Octets of
// one charset are joined before they are decoded: old programs cut within characters.
func decodeName(s string) (text string, ok bool) {
	if !utf8.ValidString(s) {
		if s, ok = decodeOctets(s, charmap.Windows1252); !ok {
			return "", false
		}
	}
	var b strings.Builder
	ok = true
	eachRun(s, func(gap string, run encodedWord) {
		b.WriteString(gap)
		if run.charset != "" {
			word, known := decodeCharset(run.charset, run.text)
			b.WriteString(word)
			ok = ok && known
		}
	})
	text = b.String()
	return text, ok && strings.IndexFunc(text, func(c rune) bool { return isDeceptive(c) || unicode.IsControl(c) && c != '\t' }) < 0
}
