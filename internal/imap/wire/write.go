package wire

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxQuoted bounds what is written as a quoted string: longer text goes as a literal, which
// every client reads without a line of any length.
const maxQuoted = 4096

// AppendString writes a string, quoted where it can be. utf8ok says that the client has enabled UTF-8,
// so that it may stand in quotes. RFC 9051 §4.3, RFC 9755 §3.
func AppendString(b []byte, text string, utf8ok bool) []byte {
	if !quotable(text, utf8ok) {
		return AppendLiteral(b, text)
	}
	b = append(b, '"')
	for i := range len(text) {
		if c := text[i]; c == '"' || c == '\\' {
			b = append(b, '\\', c)
		} else {
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// quotable reports whether text may stand in quotes.
func quotable(text string, utf8ok bool) bool {
	if len(text) > maxQuoted || strings.ContainsAny(text, "\r\n\x00") {
		return false
	}
	return isASCII(text) || utf8ok && utf8.ValidString(text)
}

// AppendLiteral writes a literal; what is no CHAR8 in it, NUL, is left out.
func AppendLiteral(b []byte, text string) []byte {
	text = strings.ReplaceAll(text, "\x00", "")
	b = append(b, '{')
	b = strconv.AppendInt(b, int64(len(text)), 10)
	b = append(b, "}\r\n"...)
	return append(b, text...)
}

// AppendNString writes a string, or NIL for none.
func AppendNString(b []byte, text string, there, utf8ok bool) []byte {
	if !there {
		return append(b, "NIL"...)
	}
	return AppendString(b, text, utf8ok)
}

// AppendMailbox writes the name of a mailbox, which is UTF-8, as the client reads it.
func AppendMailbox(b []byte, name string, utf8ok bool) []byte {
	if !utf8ok {
		name = EncodeName(name)
	}
	return AppendAstring(b, name, utf8ok)
}

// AppendAstring writes an atom where text is one, else a string.
func AppendAstring(b []byte, text string, utf8ok bool) []byte {
	atom := text != "" && !strings.EqualFold(text, "NIL")
	for i := 0; atom && i < len(text); i++ {
		atom = isAtom(text[i])
	}
	if atom {
		return append(b, text...)
	}
	return AppendString(b, text, utf8ok)
}

// AppendWords writes words in parentheses.
func AppendWords(b []byte, words []string) []byte {
	b = append(b, '(')
	for i, w := range words {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, w...)
	}
	return append(b, ')')
}
