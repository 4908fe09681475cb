package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"sallyport/internal/mailbox"
)

// inbox is the folder that POP3 shows.
const inbox = "INBOX"

// maildrop is the mailbox as it was when the session began.
type maildrop struct {
	box     *mailbox.Mailbox
	user    *mailbox.User
	valid   uint32
	entries []entry
}

// entry is a message. Its number is its place, counted from 1.
type entry struct {
	uid     mailbox.UID
	size    int64
	deleted bool
}

// openMaildrop looks at the mailbox. What vanishes meanwhile has no number, nor has a message that cannot be read:
// how long it is cannot be told, and the others are there.
func openMaildrop(ctx context.Context, u *mailbox.User) (*maildrop, error) {
	// For reading only: new messages stay where others look for new ones.
	box, err := u.Select(ctx, inbox, true)
	if err != nil {
		return nil, err
	}
	state := box.State()
	d := &maildrop{box: box, user: u, valid: state.UIDValidity, entries: make([]entry, 0, len(state.Messages))}
	for _, m := range state.Messages {
		size, err := box.Lines(ctx, m.UID) // as RETR tells it
		switch {
		case errors.Is(err, mailbox.ErrGone), errors.Is(err, mailbox.ErrUnreadable):
			continue
		case err != nil:
			box.Close()
			return nil, err
		}
		d.entries = append(d.entries, entry{uid: m.UID, size: size})
	}
	return d, nil
}

// uidl is the name of a message: never given to another one. It is written as Dovecot writes it, so
// that who comes from there fetches nothing again where UIDs were kept. RFC 1939 §7, UIDL.
func (d *maildrop) uidl(e entry) string { return fmt.Sprintf("%08X%08X", uint32(e.uid), d.valid) }

// entry returns the message of a number, unless it is marked.
func (d *maildrop) entry(number int) (*entry, bool) {
	if number < 1 || number > len(d.entries) || d.entries[number-1].deleted {
		return nil, false
	}
	return &d.entries[number-1], true
}

// total counts what is not marked.
func (d *maildrop) total() (messages int, octets int64) {
	for _, e := range d.entries {
		if !e.deleted {
			messages++
			octets += e.size
		}
	}
	return messages, octets
}

// remove deletes what is marked, and says how much of it is left. RFC 1939 §6.
func (d *maildrop) remove(ctx context.Context) (left int, err error) {
	var uids []mailbox.UID
	for _, e := range d.entries {
		if e.deleted {
			uids = append(uids, e.uid)
		}
	}
	if len(uids) == 0 {
		return 0, nil
	}
	box, err := d.user.Select(ctx, inbox, false)
	if err != nil {
		return len(uids), err
	}
	defer box.Close()
	if _, err := box.Remove(ctx, uids); err != nil {
		return len(uids), err
	}
	return 0, nil
}

// transaction answers a command of who has signed in. RFC 1939 §5.
func (c *conn) transaction(ctx context.Context, cmd command) result {
	d := c.drop
	switch cmd.verb {
	case "STAT":
		n, octets := d.total()
		return ok(strconv.Itoa(n) + " " + strconv.FormatInt(octets, 10))
	case "LIST":
		return c.list(cmd, func(e entry) string { return strconv.FormatInt(e.size, 10) })
	case "UIDL":
		return c.list(cmd, d.uidl)
	case "RETR", "TOP":
		return c.retrieve(ctx, cmd)
	case "DELE":
		e, res := c.message(cmd)
		if e == nil {
			return res
		}
		e.deleted = true
		return ok("marked")
	case "RSET":
		for i := range d.entries {
			d.entries[i].deleted = false
		}
		return ok("nothing is marked")
	case "NOOP":
		return ok("")
	case "QUIT":
		left, err := d.remove(ctx)
		if err != nil {
			c.o.Logger.Warn("messages were not deleted", "conn", c.info.ID, "count", left, "err", err)
			return failed("SYS/TEMP", "marked messages were not deleted").ending(EndQuit)
		}
		return ok("goodbye").ending(EndQuit)
	case "LAST":
		// Of RFC 1460, no more of this protocol; fetchmail asks, and goes on with UIDL.
		return failed("", "LAST is not known here; use UIDL")
	}
	return bad("this command is not known, or not at this time")
}

// message returns the message that a command names alone.
func (c *conn) message(cmd command) (*entry, result) {
	n, ok := cmd.numbers(1)
	if !ok {
		return nil, bad("the number of a message is wanted")
	}
	e, ok := c.drop.entry(n[0])
	if !ok {
		return nil, failed("", "there is no such message")
	}
	return e, result{}
}

// list answers LIST and UIDL, of one message or all.
func (c *conn) list(cmd command, of func(entry) string) result {
	if cmd.arg != "" {
		e, res := c.message(cmd)
		if e == nil {
			return res
		}
		n, _ := cmd.numbers(1)
		return ok(strconv.Itoa(n[0]) + " " + of(*e))
	}
	n, octets := c.drop.total()
	c.Line("+OK ", strconv.Itoa(n), " messages (", strconv.FormatInt(octets, 10), " octets)")
	for i, e := range c.drop.entries {
		if !e.deleted {
			c.Line(strconv.Itoa(i+1), " ", of(e))
		}
	}
	c.Line(".")
	return result{}
}

// retrieve answers RETR and TOP.
func (c *conn) retrieve(ctx context.Context, cmd command) result {
	n, want := []int{}, 1
	if cmd.verb == "TOP" {
		want = 2
	}
	n, ok := cmd.numbers(want)
	if !ok {
		return bad("the number of a message is wanted; of TOP, that of lines too")
	}
	e, ok := c.drop.entry(n[0])
	if !ok {
		return failed("", "there is no such message")
	}
	content, err := c.drop.box.Content(ctx, e.uid)
	switch {
	case errors.Is(err, mailbox.ErrGone):
		return failed("", "the message is gone: another program deleted it")
	case err != nil:
		c.o.Logger.Warn("a message was not read", "conn", c.info.ID, "err", err)
		return failed("SYS/TEMP", "the message cannot be read now")
	}
	defer content.Close() // it was read alone
	top := &topper{lines: -1}
	if cmd.verb == "TOP" {
		top.lines = n[1]
		c.Line("+OK")
	} else {
		c.Line("+OK ", strconv.FormatInt(e.size, 10), " octets")
	}
	if err := c.send(ctx, io.NewSectionReader(content, 0, content.Size()), top); err != nil {
		// Whoever got half of a message must not take it for the whole.
		c.o.Logger.Warn("a message ended early", "conn", c.info.ID, "err", err)
		return result{end: EndLost}
	}
	return result{}
}

// pieceOctets is what is read of a message at once.
const pieceOctets = 32 << 10

func (c *conn) send(ctx context.Context, r io.Reader, top *topper) error {
	s := &stuffer{take: c.Write}
	piece := make([]byte, pieceOctets)
	for more := true; more; {
		n, err := r.Read(piece)
		if top.lines >= 0 {
			n, more = top.pass(piece[:n])
		}
		s.write(piece[:n])
		switch {
		case errors.Is(err, io.EOF):
			more = false
		case err != nil:
			return err
		case c.Lost() != nil:
			return c.Lost()
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
	s.end()
	return nil
}
