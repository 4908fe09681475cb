package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"

	"sallyport/internal/door/textconn"
	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/kit/allowance"
)

// conn is one connection in conversation.
type conn struct {
	*textconn.Conn
	o    *Options
	info Conn
	sess Session
	hold *allowance.Hold // what long commands take; nil: nobody asks

	tls   *tls.ConnectionState // nil: clear text
	offer string

	signedIn bool
	enabled  enabled
	box      *box            // nil: none is selected
	without  map[string]bool // extensions that are not offered
	command  []byte          // that is read
	deflated bool            // what is sent is compressed
	window   *allowance.Hold // what that takes; nil: nothing, or nobody asks

	strange, bad, authFailures int // commands before sign-in, commands in a row that were bad, sign-ins that failed
	// stray: a sign-in has just failed, and an answer that the client still owed may follow.
	stray bool
}

// enabled is what the client has enabled. RFC 5161.
type enabled struct{ utf8, rev2, condstore, qresync, uidOnly bool }

// result is what a command came to.
type result struct {
	status     string // OK, NO, BAD; "": everything was answered already
	code, text string
	// quiet: nothing of what others changed may be told before the answer.
	quiet bool
	end   string // why the connection ends after it, "" if it goes on
}

func ok(text string) result           { return result{status: "OK", text: text} }
func okCode(code, text string) result { return result{status: "OK", code: code, text: text} }
func no(code, text string) result     { return result{status: "NO", code: code, text: text} }
func bad(text string) result          { return result{status: "BAD", text: text} }

func (r result) ending(why string) result {
	r.end = why
	return r
}

// bye ends a connection outside any command.
type bye struct{ why, text string }

// converse holds the whole conversation and returns why it ended.
func (c *conn) converse(ctx context.Context) (end string) {
	if c.o.Implicit {
		if err := c.handshake(ctx); err != nil {
			return EndTLS
		}
	}
	sess, err := c.o.Backend.Connect(ctx, c.info)
	if c.sess = sess; err != nil || sess == nil {
		text := "not now; try again later"
		if r, ok := errors.AsType[*Refusal](err); ok {
			text = r.Text
		}
		c.Line("* BYE ", text)
		return EndPolicy
	}
	c.Line("* OK [CAPABILITY ", c.capabilities(), "] ", c.o.Hostname, " IMAP ready")
	for {
		if end := c.turn(ctx); end != "" {
			return end
		}
	}
}

// finish ends the connection: exactly once, whatever ended it.
func (c *conn) finish(ctx context.Context, end string) {
	// What is told at the end must be heard although the connection is no more.
	ctx = context.WithoutCancel(ctx)
	_ = c.Flush()
	c.leave()
	for _, held := range []*allowance.Hold{c.hold, c.window} {
		if held != nil {
			held.End()
		}
	}
	if c.sess != nil {
		c.sess.Close(ctx, end)
	}
	c.o.Logger.Debug("connection ended", "conn", c.info.ID, "remote", c.info.Remote.String(), "why", end)
	switch end {
	case EndLogout, EndEOF, EndTimeout, EndTLS, EndShutdown, EndPolicy:
		c.Close()
	default:
		c.Linger()
	}
}

// turn reads one command and answers it.
func (c *conn) turn(ctx context.Context) (end string) {
	if end := c.await(); end != "" {
		return end
	}
	cmd, res, end := c.next(ctx)
	if end != "" {
		return end
	}
	if res.status == "" {
		res = c.handle(ctx, cmd)
	}
	c.give()
	return c.settle(ctx, cmd, res)
}

// await waits until some octet of a command is there.
func (c *conn) await() (end string) {
	if c.Ended() {
		return c.broken(textconn.ErrEnding)
	}
	c.Rest()
	timeout := c.o.Limits.StrangerTimeout
	if c.signedIn {
		timeout = c.o.Limits.IdleTimeout
	}
	c.WaitUntil(c.o.Now().Add(timeout))
	if err := c.In.Wait(); err != nil {
		return c.broken(err)
	}
	if c.signedIn {
		c.WaitUntil(c.o.Now().Add(c.o.Limits.CommandTimeout))
	}
	return ""
}

// commandLimits bounds the next command.
func (c *conn) commandLimits() imapwire.Limits {
	if c.signedIn {
		return c.o.Limits.Commands
	}
	return c.o.Limits.Strangers
}

// next reads a command. A result that is not empty answers it already; an end means that
// everything was said.
func (c *conn) next(ctx context.Context) (cmd imapwire.Command, res result, end string) {
	l := c.commandLimits()
	if !c.signedIn {
		if c.strange++; c.strange > c.o.Limits.StrangerCommands {
			return cmd, res, c.farewell(bye{EndErrors, "too many commands without a sign-in"})
		}
	}
	b, held := c.command[:0], false
	defer func() {
		if c.command = b[:0]; cap(b) > keepCommand {
			c.command = nil
		}
	}()
	for {
		start := len(b)
		var err error
		if b, err = c.In.Line(b, l.CommandOctets); err != nil {
			return cmd, res, c.broken(err)
		}
		if start == 0 && c.stray && isStray(b) {
			c.stray = false
			return cmd, result{status: "-"}, ""
		}
		lit, ok := imapwire.LiteralAt(b[start:])
		if !ok {
			break
		}
		if imapwire.IsAppend(b) {
			a, whole, fault := imapwire.ParseAppend(b, c.enabled.utf8, l)
			if fault != nil || whole {
				res, end = c.append(ctx, a, fault, lit)
				cmd = imapwire.Command{Tag: a.Tag, Verb: "APPEND"}
				if a.Replaces != nil {
					cmd.Verb, cmd.UID = "REPLACE", a.Replaces.UID
				}
				return cmd, res, end
			}
		}
		if lit.Octets > l.LiteralOctets || lit.Octets > int64(l.CommandOctets-len(b)) {
			cmd.Tag = tagOf(b)
			res, end = c.tooBig(lit)
			return cmd, res, end
		}
		if !held && lit.Octets > keepCommand {
			if held = true; !c.take(l.CommandOctets) {
				return cmd, res, c.farewell(bye{EndMemory, "too much is being read; try again later"})
			}
		}
		if lit.Waits {
			c.Line("+ ready for the literal")
		}
		if b, err = c.In.Octets(b, lit.Octets); err != nil {
			return cmd, res, c.broken(err)
		}
	}
	cmd, fault := imapwire.Parse(b, c.enabled.utf8, l)
	if fault != nil {
		return cmd, c.faulty(b, fault), ""
	}
	return cmd, res, ""
}

// keepCommand is the longest command whose memory an idle connection keeps, and for which
// nobody is asked.
const keepCommand = 4096

// take asks for the memory of a long command.
func (c *conn) take(octets int) bool { return c.hold == nil || c.hold.Take(int64(octets)) }

// give gives it back.
func (c *conn) give() {
	if c.hold != nil {
		c.hold.Give(c.hold.Held())
	}
}

// tagOf returns the tag of a command that is not read further; "*" if there is none.
func tagOf(b []byte) string {
	tag, _, ok := bytes.Cut(b, []byte(" "))
	if _, fault := imapwire.Parse(append(bytes.Clone(tag), " NOOP\r\n"...), false, imapwire.DefaultStrangerLimits()); !ok || fault != nil {
		return "*"
	}
	return string(tag)
}

// tooBig refuses a literal that is too long: one that has not been sent yet is not asked for,
// another one is read to its end if that is near. RFC 7888 §4.
func (c *conn) tooBig(lit imapwire.Literal) (res result, end string) {
	res = result{status: "BAD", code: "TOOBIG", text: "the literal is too long"}
	if lit.Waits {
		return res, ""
	}
	return res, c.pass(lit.Octets, c.o.Limits.DrainOctets)
}

// isStray reports whether a line is what some programs still say when a sign-in has failed at
// once: an empty line, or the ^A that RFC 7628 §3.2.3 asks for after a challenge.
func isStray(line []byte) bool { return string(line) == "\r\n" || string(line) == "AQ==\r\n" }

// faulty answers a command that is none.
func (c *conn) faulty(b []byte, f *imapwire.Fault) result {
	if !c.signedIn && c.strange == 1 && isOtherProtocol(b) {
		return result{status: "BAD", text: "this is IMAP", end: EndNotIMAP}
	}
	return faultOf(f)
}

func faultOf(f *imapwire.Fault) result {
	if f.No {
		return no(f.Code, f.Text)
	}
	return result{status: "BAD", code: f.Code, text: f.Text}
}

// isOtherProtocol: a browser that is made to speak with us must not be answered further.
func isOtherProtocol(b []byte) bool {
	for _, method := range []string{"GET /", "POST /", "PUT /", "HEAD /", "OPTIONS /", "CONNECT "} {
		if bytes.HasPrefix(b, []byte(method)) {
			return true
		}
	}
	return false
}

// settle answers a command: the one place where answers are written and counted.
func (c *conn) settle(ctx context.Context, cmd imapwire.Command, res result) (end string) {
	if res.status == "-" {
		return res.end
	}
	if c.box != nil && res.end == "" && !res.quiet {
		c.news(ctx, cmd)
	}
	tag := cmd.Tag
	if tag == "" {
		tag = "*"
	}
	if res.code == overQuota {
		c.sess.Refused(ctx, cmd.Verb, res.text)
	}
	if res.code != "" {
		res.code = "[" + res.code + "] "
	}
	c.Line(tag, " ", res.status, " ", res.code, res.text)
	if c.bad++; res.status != "BAD" {
		c.bad = 0
	}
	if res.end == "" && c.bad >= c.o.Limits.Errors {
		return c.farewell(bye{EndErrors, "too many commands in a row that are none"})
	}
	return res.end
}

// farewell says why the connection ends.
func (c *conn) farewell(b bye) (end string) {
	c.Line("* BYE ", b.text)
	return b.why
}

// broken answers the end of the input, if there is anybody to answer.
func (c *conn) broken(err error) (end string) {
	switch {
	case errors.Is(err, textconn.ErrEnding):
		e := c.Ending()
		return c.farewell(bye{e.Why, e.Text})
	case errors.Is(err, textconn.ErrTooLong):
		return c.farewell(bye{EndTooLong, "the command is too long"})
	case errors.Is(err, textconn.ErrControl):
		return c.farewell(bye{EndErrors, "a line holds NUL or a bare CR"})
	case errors.Is(err, textconn.ErrDuration):
		return c.farewell(bye{EndDuration, "nobody has signed in for too long"})
	case errors.Is(err, textconn.ErrTimeout):
		return c.farewell(bye{EndTimeout, "nothing was heard for too long"})
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return EndEOF
	}
	c.o.Logger.Debug("connection lost", "conn", c.info.ID, "err", err)
	return EndEOF
}
