package server

import (
	"context"
	"errors"
	"io"

	"sallyport/internal/door"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/mail"
	smtpwire "sallyport/internal/smtp/wire"
)

// conn is one connection in conversation.
type conn struct {
	*wire
	srv   *server
	hold  *allowance.Hold // what its buffers take; nil: nobody asks
	info  Conn
	sess  Session
	state state
	tx    transaction
	count counts
	place *door.Place // where it is counted; nil: nowhere
	// pending is a command that broke a BDAT sequence off and is still to be
	// answered.
	pending *request
	// stray: AUTH has just failed, and a response that the client still owed may follow.
	stray bool
	// insecure is why TLS failed; "": it did not.
	insecure string

	ctx     context.Context // of the connection, and release ends it
	release func()
	greeted bool // it was, or not let in
}

// state is what the conversation rests on, besides the transaction. It is replaced
// as one value.
type state struct {
	hello    bool // EHLO or HELO was accepted, since TLS
	extended bool // EHLO
	authed   bool
}

// request is one command line as it was read.
type request struct {
	line  []byte // as it came, until more is read
	cmd   smtpwire.Command
	fault *smtpwire.Fault
	// outline is the line as it may be told, where it is not in line any more.
	outline string
	// misplaced: it broke a BDAT sequence off.
	misplaced bool
}

// told returns what may be told of the line: see wire.Outline.
func (r request) told() string {
	if r.outline != "" {
		return r.outline
	}
	return smtpwire.Outline(r.line)
}

// verb returns the command's verb, also of one at fault.
func (r request) verb() smtpwire.Verb {
	if r.fault != nil {
		return r.fault.Verb
	}
	return r.cmd.Verb
}

// result is what a command came to.
type result struct {
	reply  mail.Reply
	own    bool   // the engine's own words: a refusal is told to the session
	bare   bool   // goes without enhanced code. RFC 2034 §4
	silent bool   // everything was answered already
	end    string // why the connection ends after it, "" if it goes on
}

func said(r mail.Reply) result { return result{reply: r} }

func refuse(code int, enhanced, text string) result {
	return result{reply: mail.R(code, enhanced, text), own: true}
}

// ending returns the result with an end of the connection.
func (r result) ending(why string) result {
	r.end = why
	return r
}

// goOn holds the conversation to its end, or until the connection rests.
func (c *conn) goOn() {
	end := c.converse(c.ctx)
	if end == "" {
		c.settleDown()
		return
	}
	c.resting = false
	c.finish(c.ctx, end)
	c.release()
}

// finish ends the connection: exactly once, whatever ended it.
func (c *conn) finish(ctx context.Context, end string) {
	// What is told at the end must be heard although the connection is no more.
	ctx = context.WithoutCancel(ctx)
	c.drop(ctx)
	c.flushLater()
	c.in.Close()
	if c.hold != nil {
		c.hold.End()
	}
	if c.sess != nil {
		c.sess.Close(ctx, c.why(end))
	}
	c.srv.admission.waited.loses(c.info.Remote.Addr(), end)
	if misbehaved(end) {
		c.srv.admission.Misbehaved(c.info.Remote.Addr())
	}
	c.srv.cfg.Logger.Debug("connection ended", "conn", c.info.ID, "kind", c.info.Kind.String(),
		"remote", c.info.Remote.String(), "why", end)
	switch end {
	case EndQuit, EndEOF, EndTimeout, EndSlow, EndTLS, EndShutdown, EndCrowded:
		c.close()
	default:
		c.linger()
	}
}

// converse goes on with the conversation until it ends, or, with an end of "", rests.
func (c *conn) converse(ctx context.Context) (end string) {
	if !c.greeted {
		c.greeted = true
		if end := c.welcome(ctx); end != "" {
			return end
		}
	}
	for {
		c.patient = c.socket.Exists() && !c.resting
		end := c.await(ctx)
		c.patient = false
		if end != "" || c.resting {
			return end
		}
		if end := c.turn(ctx); end != "" {
			return end
		}
	}
}

// welcome is all that comes before the first command.
func (c *conn) welcome(ctx context.Context) (end string) {
	if c.info.Kind == KindSubmissions {
		if end := c.implicitTLS(); end != "" {
			return end
		}
	}
	return c.greet(ctx)
}

// turn reads one command and answers it.
func (c *conn) turn(ctx context.Context) (end string) {
	req, end := c.next(ctx)
	if end != "" {
		return end
	}
	return c.settle(ctx, req, c.handle(ctx, req))
}

// greet asks the backend, watches for early talkers, and greets. RFC 5321 §3.1.
func (c *conn) greet(ctx context.Context) (end string) {
	sess, r := c.srv.backend.Connect(ctx, &c.info)
	c.sess = sess
	r = mended(r)
	if sess == nil || !r.OK() {
		if r.OK() {
			r = mended(mail.Reply{})
		}
		c.send(r)
		return EndPolicy
	}
	if end := c.awaitSilence(ctx); end != "" {
		return end
	}
	text := c.srv.cfg.Hostname.ASCII() + " ESMTP"
	for _, more := range []string{r.Text, c.srv.cfg.Notice} {
		if more != "" {
			text += " " + more
		}
	}
	c.send(mail.R(220, "", text))
	return ""
}

// awaitSilence refuses clients that speak before they were greeted: no honest one
// does, and what it sent was not an answer to us. RFC 5321 §4.3.1.
func (c *conn) awaitSilence(ctx context.Context) (end string) {
	if c.info.Kind != KindMX || c.limits.GreetDelay == 0 {
		return ""
	}
	now := c.now()
	if c.srv.admission.waited.trusts(c.info.Remote.Addr(), now) {
		return ""
	}
	c.deadline = now.Add(c.limits.GreetDelay)
	switch err := c.in.Fill(); {
	case err == nil:
		early := request{line: c.in.Peek()}
		return c.settle(ctx, early, refuse(554, "5.5.1", "you spoke before the greeting").ending(EndEarlyTalker))
	case errors.Is(err, errTimeout):
		return ""
	default:
		return c.broken(ctx, "", err)
	}
}

// await waits until some octet of a command is there. One that may rest does when that takes long, and
// is waited for anew with the time that it had.
func (c *conn) await(ctx context.Context) (end string) {
	if c.pending != nil {
		return ""
	}
	if c.stopped() || ctx.Err() != nil {
		return c.broken(ctx, "", errShutdown)
	}
	c.in.Release()
	if !c.resting {
		c.data, c.deadline = false, c.now().Add(c.limits.CommandTimeout)
	}
	if c.in.Buffered() > 0 {
		return ""
	}
	switch err := c.in.Fill(); err {
	case nil:
		c.resting = false
		return ""
	case errRests:
		c.resting = true
		return ""
	default:
		return c.broken(ctx, "", err)
	}
}

// next reads the command that await has waited for, or ends the conversation with a
// reply of its own.
func (c *conn) next(ctx context.Context) (req request, end string) {
	if c.pending != nil {
		req, c.pending = *c.pending, nil
		return req, ""
	}
	line, err := c.in.ReadLine(c.srv.commandLimit)
	if err != nil {
		return request{}, c.broken(ctx, smtpwire.Outline(c.in.Peek()), err)
	}
	req = request{line: line}
	end, text := c.count.exceeded(c.limits)
	switch {
	case end != "":
		return req, c.settle(ctx, req, refuse(421, "4.7.0", text).ending(end))
	case !c.now().Before(c.ends):
		return req, c.settle(ctx, req, overlong())
	}
	req.cmd, req.fault = smtpwire.ParseCommand(line)
	switch req.verb() {
	case smtpwire.VerbAUTH, smtpwire.VerbBDAT, smtpwire.VerbDATA:
		// These read on, and the buffer with them: what is told of the command
		// must not turn into what came behind it.
		req.outline = smtpwire.Outline(line)
	}
	return req, ""
}

// overlong ends a session that has lasted too long.
func overlong() result {
	return refuse(421, "4.7.0", "this session has lasted long enough").ending(EndDuration)
}

// settle answers a command: the one place where replies are counted and sent.
func (c *conn) settle(ctx context.Context, req request, res result) (end string) {
	if res.silent {
		return res.end
	}
	r := res.reply
	if !res.bare {
		r = mended(r)
	}
	if (res.own || r == undecided()) && !r.OK() && c.sess != nil {
		c.sess.Refused(ctx, req.told(), r)
	}
	c.count = c.count.after(r)
	c.send(r)
	if res.end == "" && r.Code == 421 {
		return EndPolicy // RFC 5321 §3.8: 421 announces that the channel closes
	}
	return res.end
}

// undecided is the answer where a Session gave none, and so told nobody why.
func undecided() mail.Reply {
	return mail.R(451, "4.3.0", "no decision was made; try again later")
}

// mended makes sure that a reply is one that may be sent here: a missing decision
// is a temporary failure, and an enhanced code is always there. RFC 2034 §4.
func mended(r mail.Reply) mail.Reply {
	class := r.Class()
	if class != mail.ClassSuccess && class != mail.ClassTransient && class != mail.ClassPermanent {
		return undecided()
	}
	if r.Enhanced.Class != uint16(class) {
		r.Enhanced = mail.Enhanced{Class: uint16(class)}
	}
	return r
}

// broken answers the end of the input, if there is anybody to answer.
func (c *conn) broken(ctx context.Context, command string, err error) (end string) {
	var res result
	switch {
	case errors.Is(err, smtpwire.ErrBareCR), errors.Is(err, smtpwire.ErrBareLF), errors.Is(err, smtpwire.ErrNUL):
		// Never repaired: whoever reads it otherwise would see another message.
		res = refuse(554, "5.5.2", "lines must end with CRLF and hold no NUL: "+err.Error()).ending(EndSmuggling)
	case errors.Is(err, smtpwire.ErrLineTooLong):
		res = refuse(500, "5.5.2", "line too long").ending(EndLineTooLong)
	case errors.Is(err, smtpwire.ErrNoBuffer):
		res = refuse(421, "4.3.1", "too much mail is on its way; try again later").ending(EndMemory)
	case errors.Is(err, errSlow):
		res = refuse(421, "4.4.2", "the message comes too slowly").ending(EndSlow)
	case errors.Is(err, errDawdling):
		res = refuse(421, "4.4.2", "the commands come too slowly").ending(EndSlow)
	case errors.Is(err, errDuration):
		res = overlong()
	case errors.Is(err, errTimeout):
		res = said(mail.R(421, "4.4.2", "timed out")).ending(EndTimeout)
	case errors.Is(err, errShutdown) && c.givesWay():
		res = said(mail.R(421, "4.7.0", "too many connections, and this one sent no mail; try again later")).ending(EndCrowded)
	case errors.Is(err, errShutdown):
		res = said(mail.R(421, "4.3.2", "this session is closed; try again later")).ending(EndShutdown)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return EndEOF
	default:
		c.srv.cfg.Logger.Debug("connection lost", "conn", c.info.ID, "err", err)
		return EndEOF
	}
	return c.settle(ctx, request{outline: command}, res)
}
