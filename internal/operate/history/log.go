package history

import (
	"strings"
	"time"

	"sallyport/internal/mail"
)

// Log puts the lines of a log of Postfix or Exim together to what was sent. Rotated files
// of one log are read one after the other, the oldest first.
type Log struct {
	l        Limits
	unsigned bool
	written  time.Time
	open     map[string]*message
	order    []string // of open, the oldest first; some may have ended
	left     int
}

// message is one in the queue of the old server.
type message struct {
	login  string // the name that its sender signed in with; "": nobody did
	sender mail.Address
	left   bool // it was left out, since nobody signed in, and is counted
}

// NewLog returns a reader. Unsigned: what was sent without a sign-in counts as well, by
// its envelope sender, which anybody can write.
func NewLog(l Limits, unsigned bool) *Log {
	return &Log{l: l, unsigned: unsigned, open: map[string]*message{}}
}

// File begins another file, which was last written then; times without a zone are in its
// zone.
func (g *Log) File(written time.Time) { g.written = written }

// Left tells how many delivered messages were left out, since nobody had signed in for
// them.
func (g *Log) Left() int { return g.left }

// Line reads one line, and tells what it says was delivered.
func (g *Log) Line(line string) (Sent, bool) {
	line = strings.TrimRight(line, "\r\n")
	if at, rest, ok := eximStamp(line, g.written.Location()); ok {
		return g.exim(at, rest)
	}
	at, rest, ok := stamp(line, g.written)
	if !ok {
		return Sent{}, false
	}
	// "host program[pid]: text"
	head, text, ok := strings.Cut(rest, ": ")
	_, program, named := strings.Cut(head, " ")
	if !ok || !named {
		return Sent{}, false
	}
	program, _, _ = strings.Cut(program, "[")
	if strings.HasPrefix(program, "exim") {
		if own, after, ok := eximStamp(text, g.written.Location()); ok {
			at, text = own, after
		}
		return g.exim(at, text)
	}
	if cut := strings.LastIndexByte(program, '/'); cut >= 0 {
		return g.postfix(at, program[cut+1:], text)
	}
	return Sent{}, false
}

// of returns what is known of a message, which begins where it is not. Of too many that
// never end the oldest are forgotten.
func (g *Log) of(id string) *message {
	if m := g.open[id]; m != nil {
		return m
	}
	for len(g.order) >= g.l.Open {
		delete(g.open, g.order[0])
		g.order = g.order[1:]
	}
	m := &message{}
	g.open[id] = m
	g.order = append(g.order, id)
	return m
}

// sent is a delivery of a message.
func (g *Log) sent(id string, to mail.Address, at time.Time) (Sent, bool) {
	m := g.open[id]
	if m == nil || m.sender.IsZero() && m.login == "" {
		return Sent{}, false
	}
	if m.login == "" && !g.unsigned {
		if !m.left {
			m.left = true
			g.left++
		}
		return Sent{}, false
	}
	from := m.author()
	// Short names come again, though not within a day.
	return Sent{From: from, To: []mail.Address{to}, At: at, Of: at.UTC().Format(time.DateOnly) + " " + id}, !from.IsZero()
}

// author is whose a message is. Whoever signed in as "alice" is alice of the domain of the
// sender, whoever the sender says it is.
func (m *message) author() mail.Address {
	if m.login == "" {
		return m.sender
	}
	if a, err := mail.ParseAddress(m.login, mail.UTF8); err == nil && !a.Domain().IsZero() {
		return a
	}
	if m.sender.IsZero() {
		return mail.Address{}
	}
	a, err := m.sender.WithLocal(m.login)
	if err != nil {
		return mail.Address{}
	}
	return a
}
