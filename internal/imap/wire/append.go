package wire

import "time"

// Append is what stands before one message of APPEND, or before that of REPLACE. RFC 9051 §6.3.12,
// RFC 3502, RFC 8508.
type Append struct {
	Tag  string // of the first
	Name string // of the first
	// Replaces is the message that goes, of REPLACE; nil: it is APPEND.
	Replaces *Replaced
	// Flags and Date are those of the message; a zero Date: none was given.
	Flags []string
	Date  time.Time
	// UTF8: the literal stands in UTF8 (…), whose parenthesis closes behind it. RFC 9755 §4.
	UTF8    bool
	Literal Literal
}

// Replaced is the message that REPLACE takes away. RFC 8508 §3.
type Replaced struct {
	UID bool // Set is of UIDs
	Set Set  // of one number
}

// IsAppend reports whether a command that has begun so is an APPEND or a REPLACE: the messages
// of one are not read into memory.
func IsAppend(b []byte) bool {
	s := &scanner{b: b}
	c := s.head()
	return s.ok() && (c.Verb == "APPEND" && !c.UID || c.Verb == "REPLACE")
}

// ParseAppend reads an APPEND or a REPLACE up to the end of a line that announces a literal. whole says
// that the literal is the message; if it is not, it belongs to the name, and the command must be
// read on.
func ParseAppend(b []byte, utf8 bool, l Limits) (a Append, whole bool, f *Fault) {
	s := &scanner{b: b, limits: l, utf8: utf8}
	c := s.head()
	a.Tag = c.Tag
	s.space()
	if c.Verb == "REPLACE" {
		n := s.setNumber()
		a.Replaces = &Replaced{UID: c.UID, Set: Set{Ranges: []Range{{From: n, To: n}}}}
		s.space()
	}
	if lit, ok := LiteralAt(b[min(s.pos, len(b)):]); ok && lit.head == 0 && s.ok() {
		return a, false, nil
	}
	a.Name = s.mailbox()
	s.space()
	s.message(&a)
	return s.appended(a)
}

// ParseNextAppend reads what stands behind a message: a further one, or the end, when
// whole is false. former is what ParseAppend said of the message before.
func ParseNextAppend(b []byte, former Append, l Limits) (a Append, whole bool, f *Fault) {
	s := &scanner{b: b, limits: l}
	a = Append{Tag: former.Tag, Name: former.Name, Replaces: former.Replaces}
	if former.UTF8 {
		s.expect(')')
	}
	if s.atEnd() {
		s.end()
		_, _, f = s.appended(a)
		return a, false, f
	}
	if a.Replaces != nil {
		s.fail("REPLACE takes one message")
	}
	s.space()
	s.message(&a)
	return s.appended(a)
}

func (s *scanner) appended(a Append) (Append, bool, *Fault) {
	if s.fault != nil {
		s.fault.Tag = a.Tag
		return a, false, s.fault
	}
	return a, true, nil
}

// message takes flags, date and the announcement of the literal.
func (s *scanner) message(a *Append) {
	if s.peek() == '(' {
		a.Flags = s.flagList()
		s.space()
	}
	if s.peek() == '"' {
		a.Date = s.dateTime()
		s.space()
	}
	if s.acceptWord("UTF8") {
		a.UTF8 = true
		s.space()
		s.expect('(')
	}
	l, ok := LiteralAt(s.b[min(s.pos, len(s.b)):])
	if !ok || l.head != 0 {
		s.fail("a message is missing")
		return
	}
	a.Literal = l
}
