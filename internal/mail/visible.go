package mail

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible reports whether a character can be shown to a person as it is: it takes room
// on the screen, and changes nothing of what stands around it. Controls are not (the old
// ones and those from U+0080 on, which terminals obey too), nor are the separators of
// lines, blanks other than the common one, what turns the direction of writing, and what
// is drawn as nothing.
func Visible(r rune) bool {
	if r >= ' ' && r <= '~' {
		return true
	}
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) && r != blankBraille
}

// blankBraille is the pattern of Braille without a dot.
const blankBraille = '\u2800'

// Shown returns s for a line of text that a person reads: what is not Visible, or not
// UTF-8, is written as a Go escape, so that nothing in it ends the line or speaks to the
// terminal. Applying it again changes nothing. It is the one form of foreign text in
// output; Word is the form where something follows on the same line.
func Shown(s string) string {
	if !hasHidden(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		piece, n := ShownRune(s)
		b.WriteString(piece)
		s = s[n:]
	}
	return b.String()
}

func hasHidden(s string) bool {
	for i, r := range s {
		if !Visible(r) || r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			return true
		}
	}
	return false
}

// ShownRune returns the first character of s as Shown writes it, and its octets. s is
// not empty.
func ShownRune(s string) (piece string, n int) {
	r, n := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && n == 1:
		return `\x` + strconv.FormatUint(uint64(s[0])|0x100, 16)[1:], 1
	case !Visible(r):
		q := strconv.QuoteRuneToASCII(r)
		return q[1 : len(q)-1], n
	}
	return s[:n], n
}

// Word returns s as one word of a line that consists of names and values: as it is where
// it can be taken for nothing else, and in double quotes where it holds blanks, quotes,
// escapes or an equals sign, so that what a stranger wrote never reads as another name
// with its value. It may be long: whoever takes it from a peer bounds it. In angle brackets, as addresses and message-ids stand, an equals sign
// is plain.
func Word(s string) string {
	shown := Shown(s)
	inner, bracketed := strings.CutPrefix(shown, "<")
	if bracketed {
		inner, bracketed = strings.CutSuffix(inner, ">")
	}
	special := ` "\=`
	if bracketed {
		special = ` "\<>`
	}
	if s != "" && !strings.ContainsAny(inner, special) {
		return shown
	}
	// The escapes of Shown stay readable: only what would end the quotes, or keep them from
	// ending, is escaped anew.
	b := []byte{'"'}
	for i := range len(shown) {
		if c := shown[i]; c == '"' || c == '\\' && strings.HasPrefix(strings.TrimLeft(shown[i:]+`"`, `\`), `"`) {
			b = append(b, '\\')
		}
		b = append(b, shown[i])
	}
	return string(append(b, '"'))
}

// PlainLine returns s as one line of printable ASCII of at most max octets, for a reply, a
// header field or a log: every character that has no place there becomes a question mark.
// Unlike Shown it cannot be read back.
func PlainLine(s string, max int) string {
	return oneLine(s, max, func(r rune) rune {
		if r >= ' ' && r <= '~' {
			return r
		}
		return '?'
	})
}

// ShownLine is PlainLine for a line that may hold any Visible character of UTF-8. Ends of
// lines, and blanks of every kind, become the common blank.
func ShownLine(s string, max int) string {
	return oneLine(s, max, func(r rune) rune {
		switch {
		case r != utf8.RuneError && Visible(r):
			return r
		case r == '\n' || unicode.Is(unicode.Zs, r):
			return ' '
		}
		return '?'
	})
}

func oneLine(s string, max int, fit func(rune) rune) string {
	s = strings.Map(fit, s[:min(len(s), utf8.UTFMax*max)])
	if len(s) > max {
		s = strings.ToValidUTF8(s[:max], "") // half a character at the end is none
	}
	return s
}

// IsPlain reports whether s is printable ASCII in one line, blanks included.
func IsPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// plainInShell are the characters, beside letters and digits, that no shell takes for
// anything but themselves.
const plainInShell = "@%+=:,./-_"

// ShellWord returns s as one word of a shell: as it is where a shell takes it so, and else in
// quotes. Addresses may hold an apostrophe, and paths anything. Use it for every value in a
// command that somebody is to paste.
func ShellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(plainInShell, r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
