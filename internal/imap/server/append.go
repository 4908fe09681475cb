package server

import (
	"bytes"
	"context"
	"errors"
	"io"

	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/mailbox"
)

// append answers APPEND and REPLACE: messages go to the disk as they come. RFC 9051 §6.3.12, RFC 3502.
func (c *conn) append(ctx context.Context, a imapwire.Append, fault *imapwire.Fault, lit imapwire.Literal) (res result, end string) {
	if fault != nil {
		return c.unwanted(lit, faultOf(fault))
	}
	if !c.signedIn {
		return c.unwanted(lit, bad("sign in first"))
	}
	var replaced mailbox.UID
	if a.Replaces != nil {
		var good bool
		if replaced, res, good = c.replaced(a.Replaces); !good {
			return c.unwanted(lit, res)
		}
	}
	to, err := c.user().Select(ctx, a.Name, true)
	if errors.Is(err, mailbox.ErrNoSuchMailbox) {
		return c.unwanted(lit, no("TRYCREATE", "there is no such mailbox"))
	} else if err != nil {
		return c.unwanted(lit, c.failed(err))
	}
	defer to.Close()
	all := to.Begin()
	defer all.Abort()
	for n := 1; ; n++ {
		if res, end, ok := c.appendOne(ctx, all, a, n); !ok {
			return res, end
		}
		line, err := c.In.Line(nil, c.o.Limits.Commands.CommandOctets)
		if err != nil {
			return res, c.broken(err)
		}
		next, more, fault := imapwire.ParseNextAppend(line, a, c.o.Limits.Commands)
		if fault != nil {
			if lit, announced := imapwire.LiteralAt(line); announced {
				return c.unwanted(lit, bad(fault.Text))
			}
			return bad(fault.Text), ""
		}
		if !more {
			break
		}
		a = next
	}
	uids, err := all.Commit(ctx)
	if err != nil {
		return c.failed(err), ""
	}
	numbers := make([]uint32, 0, len(uids))
	for _, u := range uids {
		numbers = append(numbers, uint32(u))
	}
	code := "APPENDUID " + decimal(to.UIDValidity()) + " " + string(imapwire.AppendSet(nil, numbers))
	if a.Replaces == nil {
		return okCode(code, "appended"), ""
	}
	return c.replace(ctx, to, uids, replaced, code), ""
}

// replaced says which message REPLACE takes away, and refuses what cannot be. RFC 8508 §3.
func (c *conn) replaced(r *imapwire.Replaced) (uid mailbox.UID, res result, good bool) {
	switch {
	case !c.offered("REPLACE"):
		return 0, bad("this command is not offered"), false
	case c.enabled.uidOnly && !r.UID:
		return 0, uidRequired(), false
	case c.box == nil:
		return 0, bad("select a mailbox first"), false
	case c.box.readOnly:
		return 0, no("READ-ONLY", "the mailbox is open for reading"), false
	}
	places, res, good := c.places(r.Set, r.UID)
	if good && (len(places) == 0 || !c.box.mb.Exists(c.box.msgs[places[0]].UID)) {
		return 0, no("EXPUNGEISSUED", "there is no such message"), false
	}
	if !good {
		return 0, res, false
	}
	return c.box.msgs[places[0]].UID, res, true
}

// replace takes away the message in whose place another one came, which is durable. Where that fails,
// the new one goes: the client has what it had. RFC 8508 §3.4.
func (c *conn) replace(ctx context.Context, to *mailbox.Mailbox, came []mailbox.UID, old mailbox.UID, code string) result {
	gone, err := c.box.mb.Remove(ctx, []mailbox.UID{old})
	if err == nil && len(gone) > 0 {
		c.Line("* OK [", code, "] the new message is there")
		return ok("replaced")
	}
	if _, undone := to.Withdraw(ctx, came); undone != nil {
		c.o.Logger.Warn("a message stays that should have replaced another", "conn", c.info.ID, "err", undone)
	}
	if err != nil {
		return c.failed(err)
	}
	return no("EXPUNGEISSUED", "there is no such message any more")
}

// appendOne takes one message; it is refused with the answer unless ok.
func (c *conn) appendOne(ctx context.Context, all *mailbox.Appending, a imapwire.Append, n int) (res result, end string, ok bool) {
	switch {
	case a.Literal.Octets == 0: // RFC 3502 §6.3.11: by it a client takes back what it began
		res, end = c.unwanted(a.Literal, no("", "a message of no octets: nothing was added"))
		return res, end, false
	case a.Literal.Octets > c.o.Limits.MessageOctets:
		res, end = c.unwanted(a.Literal, no("TOOBIG", "the message is too big"))
		return res, end, false
	case n > c.o.Limits.Messages:
		res, end = c.unwanted(a.Literal, no("LIMIT", "too many messages at once"))
		return res, end, false
	}
	c.WaitEach(c.o.Limits.CommandTimeout)
	message := &literal{from: c.In, left: a.Literal.Octets, binary: a.Literal.Binary}
	if a.Literal.Waits {
		// It is asked for when there is room for it.
		message.begin = func() { c.Line("+ ready for the message") }
	}
	err := all.Add(ctx, message, a.Literal.Octets, flagsOf(a.Flags), a.Date)
	if message.err != nil {
		return res, c.broken(message.err), false
	}
	if err == nil {
		return res, "", true
	}
	if errors.Is(err, errNUL) {
		res = no("CANNOT", "a message with NUL must come as a literal8")
	} else {
		res = c.failed(err)
	}
	if message.begin != nil { // it was not asked for, and does not come
		return res, "", false
	}
	// The rest of the message is on its way already.
	return res, c.pass(message.left, c.unwantedOctets()), false
}

// literal reads the octets of a literal and remembers why there are no more.
type literal struct {
	from io.Reader
	left int64
	err  error
	// binary: it may hold NUL, as a literal8 may. RFC 9051 §4.3
	binary bool
	// begin is called before the first octet is read; nil: they come by themselves.
	begin func()
}

// Read implements io.Reader.
func (l *literal) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	if l.begin != nil {
		l.begin()
		l.begin = nil
	}
	if l.left == 0 {
		return 0, io.EOF
	}
	n, err := l.from.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if l.err = err; err == nil && !l.binary && bytes.IndexByte(p[:n], 0) >= 0 {
		l.binary = true // what follows is read to its end
		return n, errNUL
	}
	return n, err
}

// errNUL is that a message came as a literal that must not hold what it does. RFC 9051 §4.3
var errNUL = errors.New("a literal holds NUL")

// unwanted refuses a message: one that was not sent yet is not asked for, another one is read
// to its end.
func (c *conn) unwanted(lit imapwire.Literal, res result) (result, string) {
	if lit.Waits {
		return res, ""
	}
	return res, c.pass(lit.Octets, c.unwantedOctets())
}

// unwantedOctets is how long a message may be that is read to its end although nobody takes it.
func (c *conn) unwantedOctets() int64 {
	if c.signedIn {
		return max(c.o.Limits.DrainOctets, c.o.Limits.MessageOctets)
	}
	return c.o.Limits.DrainOctets
}

// pass reads what is on its way of a command that was refused: the octets that are left of a literal, the line behind it, and, of
// who has signed in, the literals that go on from there, each of at most so many octets. What is in them must not be taken for
// commands, and what is asked for by one that waits does not come.
func (c *conn) pass(left, most int64) (end string) {
	c.WaitEach(c.o.Limits.CommandTimeout)
	for n := 0; ; n++ {
		if left > most {
			return c.farewell(bye{EndTooLong, "the literal is too long"})
		}
		if _, err := io.CopyN(io.Discard, c.In, left); err != nil {
			return c.broken(err)
		}
		line, err := c.In.Line(nil, c.o.Limits.Commands.CommandOctets)
		if err != nil {
			return c.broken(err)
		}
		lit, more := imapwire.LiteralAt(line)
		if !more || lit.Waits {
			return ""
		}
		if !c.signedIn || n >= c.o.Limits.Messages {
			return c.farewell(bye{EndTooLong, "the rest of the command cannot be read"})
		}
		left = lit.Octets
	}
}
