package server

import (
	"context"
	"errors"
	"io"

	"sallyport/internal/mail"
	"sallyport/internal/screen"
	smtpwire "sallyport/internal/smtp/wire"
)

// dataCommand answers DATA and takes the message. RFC 5321 §4.1.1.4.
func (c *conn) dataCommand(ctx context.Context) result {
	if res, refused := c.noMessage(); refused {
		return res
	}
	if !c.in.Grow() {
		return refuse(452, "4.3.1", "too much mail is on its way; try again later")
	}
	c.in.Release() // there is room, and nothing has come yet that needs it
	tx := c.take()
	c.begins()
	defer c.setMessage(false)
	c.send(mail.R(354, "", "end the message with a line that holds only a dot"))
	if c.in.Buffered() == 0 {
		c.flushLater()
	}
	src := smtpwire.NewDataReader(c.in, c.limits.TextLineOctets)
	b := &body{src: src, limit: c.limits.MessageOctets, whole: c.isWhole}
	return c.conclude(ctx, b, src, tx.Data(ctx, b))
}

// begins says that a message is in progress, which keeps the place of its connection while its octets
// come.
func (c *conn) begins() {
	c.setMessage(true)
	c.moves = c.paced
	if !c.still {
		c.paced(true)
	}
}

// paced notes whether the message comes at the pace that is asked for. While it does not, a connection
// on which none was taken yet is a silent one.
func (c *conn) paced(on bool) {
	switch {
	case on:
		c.place.Reach(screen.StageBusy)
	case c.count.accepted == 0:
		c.place.Reach(screen.StageBegun)
	}
}

// isWhole notes that the message has come, and waits for us from now on.
func (c *conn) isWhole() { c.moving(true) }

// conclude turns the end of a message into its one answer. A success needs both
// sides: the message was read to its true end, and Data then took it.
func (c *conn) conclude(ctx context.Context, b *body, rest pieces, r mail.Reply) result {
	r = mended(r)
	if c.count.accepted == 0 && (b.err != io.EOF || !r.OK()) {
		c.place.Reach(screen.StageBegun)
	}
	var over *ended
	switch {
	case b.err == io.EOF:
		if r.OK() {
			c.count.accepted++
			c.count.junk = 0
			c.srv.admission.waited.earns(c.info.Remote.Addr(), c.now())
		}
		return said(r)
	case b.err == nil:
		if r.OK() {
			c.srv.cfg.Logger.Error("backend accepted a message that it had not read", "conn", c.info.ID)
			r = mended(mail.Reply{})
		}
		return c.drained(ctx, rest, said(r))
	case b.err == errTooLarge:
		return c.drained(ctx, rest, refuse(552, "5.3.4", "the message is larger than allowed"))
	case errors.As(b.err, &over):
		return over.res
	}
	return result{silent: true, end: c.broken(ctx, "DATA", b.err)}
}

// drained answers once the rest of a refused message is off the stream; when there
// is too much of it, the connection ends instead.
func (c *conn) drained(ctx context.Context, rest pieces, res result) result {
	switch err := drain(rest, c.limits.DrainOctets); {
	case err == nil:
		return res
	case err == errTooLarge:
		return res.ending(EndTooLarge)
	default:
		return result{silent: true, end: c.broken(ctx, "DATA", err)}
	}
}
