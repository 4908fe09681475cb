package wire

import (
	"bytes"
	"strconv"
)

// maxLiteralHead bounds "~{9223372036854775807+}" with its line end.
const maxLiteralHead = 28

// Literal is what the end of a line announces. RFC 9051 §4.3, RFC 7888, RFC 3516 §4.2.
type Literal struct {
	Octets int64
	// Waits: the client waits for a continuation before it sends the octets.
	Waits  bool
	Binary bool // literal8
	head   int  // where it begins in the line
}

// LiteralAt reads the literal that a line ends with, if it does. line includes its end.
func LiteralAt(line []byte) (l Literal, ok bool) {
	text, ok := bytes.CutSuffix(line, []byte("}\r\n"))
	if !ok {
		return l, false
	}
	open := bytes.LastIndexByte(text[max(0, len(text)-maxLiteralHead):], '{')
	if open < 0 {
		return l, false
	}
	open += max(0, len(text)-maxLiteralHead)
	digits, plus := bytes.CutSuffix(text[open+1:], []byte("+"))
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil || n < 0 || !isDigit(digits[0]) {
		return l, false
	}
	l = Literal{Octets: n, Waits: !plus, head: open}
	if open > 0 && text[open-1] == '~' {
		l.Binary, l.head = true, open-1
	}
	return l, true
}
