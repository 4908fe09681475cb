package wire

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Fault is why a command is none of the grammar. It is answered BAD.
type Fault struct {
	Tag  string // "": there is none, and the answer is untagged
	Code string // a response code, or ""
	Text string // for the client; nothing of what it sent stands there
	// No: the grammar is kept, and what is named cannot be had. It is answered NO.
	No bool
}

// Error implements error.
func (f *Fault) Error() string { return f.Text }

// scanner takes a command apart. Its first fault stays, and everything after it is empty, so
// that callers need to look only where they would loop.
type scanner struct {
	b      []byte
	pos    int
	limits Limits
	utf8   bool // the client has enabled UTF-8: names are UTF-8, and quoted strings may be
	raw    bool // the texts that follow are in another charset
	fault  *Fault

	literals, keys, ranges int
}

// fail records the first fault.
func (s *scanner) fail(text string) {
	if s.fault == nil {
		s.fault = &Fault{Text: text}
	}
	s.pos = len(s.b)
}

func (s *scanner) failCode(code, text string) {
	if s.fault == nil {
		s.fault = &Fault{Code: code, Text: text}
	}
	s.pos = len(s.b)
}

// refuse records what keeps the grammar, and cannot be had.
func (s *scanner) refuse(code, text string) {
	if s.failCode(code, text); s.fault.Code == code {
		s.fault.No = true
	}
}

func (s *scanner) ok() bool { return s.fault == nil }

// peek returns the next octet, 0 at the end: no octet of a command is 0 outside literals.
func (s *scanner) peek() byte {
	if s.pos >= len(s.b) {
		return 0
	}
	return s.b[s.pos]
}

func (s *scanner) accept(c byte) bool {
	if s.peek() != c || s.pos >= len(s.b) {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) expect(c byte) {
	if !s.accept(c) {
		s.fail("expected " + strconv.QuoteRune(rune(c)))
	}
}

// space takes exactly one blank.
func (s *scanner) space() { s.expect(' ') }

// end demands that nothing follows. A blank before the end of the line is forgiven.
func (s *scanner) end() {
	s.accept(' ')
	if !s.accept('\r') || !s.accept('\n') || s.pos != len(s.b) {
		s.fail("too much behind the command")
	}
}

// atEnd reports whether the line ends here.
func (s *scanner) atEnd() bool { return s.pos >= len(s.b) || s.b[s.pos] == '\r' }

// isAtom reports whether c may stand in an atom. RFC 3501 §9: ATOM-CHAR.
func isAtom(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune(`(){%*"\]`, rune(c))
}

// isAstring: RFC 3501 §9: ASTRING-CHAR, which "]" is too.
func isAstring(c byte) bool { return isAtom(c) || c == ']' }

// isList: RFC 3501 §9: list-char, which wildcards are too.
func isList(c byte) bool { return isAstring(c) || c == '%' || c == '*' }

// while takes the octets that are of a class; there must be one.
func (s *scanner) while(is func(byte) bool, what string) string {
	start := s.pos
	for s.pos < len(s.b) && is(s.b[s.pos]) {
		s.pos++
	}
	if s.pos == start {
		s.fail("expected " + what)
		return ""
	}
	return string(s.b[start:s.pos])
}

func (s *scanner) atom() string { return s.while(isAtom, "an atom") }

// word takes an atom and makes capitals of it.
func (s *scanner) word() string { return strings.ToUpper(s.atom()) }

// tag: RFC 3501 §9: any ASTRING-CHAR except "+".
func (s *scanner) tag() string {
	return s.while(func(c byte) bool { return isAstring(c) && c != '+' }, "a tag")
}

// acceptWord takes a word, in capitals or not, if it stands here and ends here.
func (s *scanner) acceptWord(w string) bool {
	end := s.pos + len(w)
	if end > len(s.b) || !strings.EqualFold(string(s.b[s.pos:end]), w) {
		return false
	}
	if end < len(s.b) && isAtom(s.b[end]) {
		return false
	}
	s.pos = end
	return true
}

// The numbers of IMAP. RFC 9051 §9: number, number64.
const (
	mostNumber32 = 1<<32 - 1
	mostNumber64 = 1<<63 - 1
)

// number takes a number of at most 63 bits. RFC 9051 §9: number64.
func (s *scanner) number() int64 {
	text := s.while(isDigit, "a number")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		s.fail("a number is too large")
		return 0
	}
	return n
}

// number32 takes a number of 32 bits; with one, 0 is none.
func (s *scanner) number32(one bool) uint32 {
	n := s.number()
	if n > mostNumber32 || one && n == 0 {
		s.fail("a number is out of range")
		return 0
	}
	return uint32(n)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// quoted takes a quoted string. RFC 9051 §4.3.
func (s *scanner) quoted() string {
	s.expect('"')
	var out []byte
	for s.ok() {
		if s.pos >= len(s.b) {
			s.fail("a quoted string does not end")
			break
		}
		c := s.b[s.pos]
		s.pos++
		switch c {
		case '"':
			if !s.raw && !utf8.Valid(out) {
				s.fail("a quoted string is not UTF-8")
			}
			return string(out)
		case '\\':
			c = s.peek()
			if c != '"' && c != '\\' {
				s.fail("only quotes and backslashes are quoted by a backslash")
				return ""
			}
			s.pos++
		case '\r', '\n', 0:
			s.fail("a quoted string holds a line end or NUL")
			return ""
		}
		out = append(out, c)
	}
	return ""
}

// literal takes a literal, whose octets stand in the command. RFC 9051 §4.3, RFC 7888.
func (s *scanner) literal(binary bool) string {
	rest := s.b[s.pos:]
	end := strings.IndexByte(string(rest[:min(len(rest), maxLiteralHead)]), '\n')
	if end < 0 {
		s.fail("a literal is malformed")
		return ""
	}
	l, ok := LiteralAt(rest[:end+1])
	start := s.pos + end + 1
	switch {
	case !ok || l.head != 0:
		s.fail("a literal is malformed")
	case l.Binary && !binary:
		s.fail("a literal8 stands where none may")
	case l.Octets > s.limits.LiteralOctets || l.Octets > int64(len(s.b)-start):
		s.failCode("TOOBIG", "a literal is too long")
	}
	if s.literals++; s.literals > s.limits.Literals {
		s.fail("too many literals")
	}
	if !s.ok() {
		return ""
	}
	s.pos = start + int(l.Octets)
	text := string(s.b[start:s.pos])
	if !binary && strings.IndexByte(text, 0) >= 0 {
		s.fail("a literal holds NUL")
		return ""
	}
	return text
}

// str takes a string: quoted or a literal.
func (s *scanner) str() string {
	switch s.peek() {
	case '"':
		return s.quoted()
	case '{':
		return s.literal(false)
	}
	s.fail("expected a string")
	return ""
}

// astring takes an atom or a string. RFC 3501 §9.
func (s *scanner) astring() string {
	if c := s.peek(); c == '"' || c == '{' {
		return s.str()
	}
	return s.while(isAstringOrUTF8, "a string")
}

// isAstringOrUTF8: several programs send names in UTF-8 as atoms, which read only one way.
func isAstringOrUTF8(c byte) bool { return isAstring(c) || c >= 0x80 }

// nstring takes a string or NIL.
func (s *scanner) nstring() (text string, ok bool) {
	if s.acceptWord("NIL") {
		return "", false
	}
	return s.str(), true
}

// list takes a parenthesised list, one with calls of item, which may be empty.
func (s *scanner) list(item func()) {
	s.expect('(')
	if s.accept(')') {
		return
	}
	for n := 0; s.ok(); n++ {
		if n >= s.limits.Items {
			s.fail("too many items")
			return
		}
		item()
		if s.accept(')') {
			return
		}
		s.space()
	}
}
