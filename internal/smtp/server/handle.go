package server

import (
	"context"
	"strconv"
	"strings"

	"sallyport/internal/mail"
	smtpwire "sallyport/internal/smtp/wire"
)

// handle answers one command.
func (c *conn) handle(ctx context.Context, req request) result {
	if req.verb() == smtpwire.VerbBDAT {
		return c.bdat(ctx, req)
	}
	stray := c.stray && isStray(req.line)
	c.stray = false
	if stray {
		return refuse(535, "5.7.8", "the sign-in has failed already")
	}
	if req.fault != nil {
		return c.faulty(req)
	}
	if res, refused := c.misplaced(req); refused {
		return res
	}
	if isJunk(req.cmd) && c.overJunk() {
		return refuse(421, "4.7.0", "too many commands without mail").ending(EndJunk)
	}
	switch req.cmd.Verb {
	case smtpwire.VerbEHLO, smtpwire.VerbHELO:
		return c.hello(ctx, req.cmd)
	case smtpwire.VerbMAIL:
		return c.mail(ctx, req.cmd.Mail)
	case smtpwire.VerbRCPT:
		return c.rcpt(ctx, req.cmd.Rcpt)
	case smtpwire.VerbDATA:
		return c.dataCommand(ctx)
	case smtpwire.VerbRSET:
		c.drop(ctx)
		return said(mail.R(250, "2.0.0", "reset"))
	case smtpwire.VerbQUIT:
		return said(mail.R(221, "2.0.0", "goodbye")).ending(EndQuit)
	case smtpwire.VerbSTARTTLS:
		return c.startTLSCommand(ctx)
	case smtpwire.VerbAUTH:
		return c.auth(ctx, req.cmd.Auth)
	default:
		return idle(req.cmd)
	}
}

// overJunk counts one more command that carries no mail.
func (c *conn) overJunk() bool {
	c.count.junk++
	return c.count.junk > c.limits.Junk
}

// faulty answers a command that the grammar refuses. A client that opens with what
// is no SMTP, or sends a header field where a command belongs, speaks another
// protocol, or was made to: it is not given a second line.
func (c *conn) faulty(req request) result {
	res := result{reply: req.fault.Reply, own: true}
	if req.fault.Verb != smtpwire.VerbUnknown {
		return res
	}
	c.count.unknown++
	word, _, _ := strings.Cut(string(req.line), " ")
	if !c.state.hello || strings.Contains(word, ":") {
		return res.ending(EndNotSMTP)
	}
	return res
}

// misplaced refuses what has no place in the present state.
func (c *conn) misplaced(req request) (res result, refused bool) {
	verb := req.cmd.Verb
	transacts := verb == smtpwire.VerbMAIL || verb == smtpwire.VerbRCPT || verb == smtpwire.VerbDATA || verb == smtpwire.VerbBDAT
	switch {
	case req.misplaced && (transacts || verb == smtpwire.VerbAUTH || verb == smtpwire.VerbSTARTTLS):
		// RFC 3030 §2: the sequence may only be followed by BDAT; what it leaves
		// behind is undetermined, so nothing is left.
		return refuse(503, "5.5.1", "the BDAT sequence was not finished; the message is dropped"), true
	case (transacts || verb == smtpwire.VerbVRFY || verb == smtpwire.VerbEXPN) && c.info.Kind != KindMX && c.info.Kind != KindSendmail && c.tls == nil && !c.clear():
		// RFC 3207 §4: nothing but EHLO, NOOP, RSET, QUIT and STARTTLS.
		return refuse(530, "5.7.0", "Must issue a STARTTLS command first"), true
	case transacts && !c.state.hello:
		// RFC 5321 §4.1.4: a mail transaction begins behind EHLO.
		return refuse(503, "5.5.1", "send EHLO first"), true
	}
	return result{}, false
}

// clear reports whether mail may be handed in on this connection in clear text. Nothing that
// is secret passes: AUTH is not offered all the same.
func (c *conn) clear() bool {
	return c.info.Kind == KindSubmission && c.srv.cfg.Clear != nil && c.srv.cfg.Clear(c.info)
}

// idle answers the commands that change nothing and tell nothing.
func idle(cmd smtpwire.Command) result {
	switch cmd.Verb {
	case smtpwire.VerbNOOP:
		return said(mail.R(250, "2.0.0", "ok"))
	case smtpwire.VerbHELP:
		return said(mail.R(214, "2.0.0", "see RFC 5321"))
	case smtpwire.VerbVRFY, smtpwire.VerbEXPN:
		// RFC 5321 §3.5.3, §7.3: without telling.
		return said(mail.R(252, "2.1.5", "send mail, and the answer to RCPT will tell"))
	default:
		return refuse(502, "5.5.1", "command not implemented")
	}
}

// hello answers EHLO and HELO. RFC 5321 §4.1.1.1, and §4.1.4: they reset.
//
// A device that signs in may give no name; a mail server has one.
func (c *conn) hello(ctx context.Context, cmd smtpwire.Command) result {
	if cmd.Text == "" && c.info.Kind == KindMX {
		return refuse(501, "5.5.4", cmd.Verb.String()+" needs a name")
	}
	c.drop(ctx)
	extended := cmd.Verb == smtpwire.VerbEHLO
	c.state = state{authed: c.state.authed}
	r := mended(c.sess.Hello(ctx, Hello{Name: cmd.Text, Extended: extended, TLS: c.tls, Certificate: c.presented(), Offer: c.offer}))
	if !r.OK() {
		return said(r)
	}
	c.state.hello, c.state.extended = true, extended
	text := c.srv.cfg.Hostname.ASCII()
	if extended {
		text += "\n" + strings.Join(c.capabilities(), "\n")
	}
	return result{reply: mail.R(250, "", text), bare: true}
}

// capabilities lists what is offered in the present state.
func (c *conn) capabilities() []string {
	caps := []string{
		"PIPELINING",
		"SIZE " + strconv.FormatInt(c.limits.MessageOctets, 10),
		"8BITMIME",
		"SMTPUTF8",
		"ENHANCEDSTATUSCODES",
		"CHUNKING",
		"DSN",
	}
	if c.srv.cfg.TLS != nil && c.tls == nil {
		caps = append(caps, "STARTTLS")
	}
	if c.tls != nil {
		caps = append(caps, "REQUIRETLS") // RFC 8689 §2
	}
	if mechs := c.mechanisms(); len(mechs) > 0 {
		caps = append(caps, "AUTH "+strings.Join(mechs, " "))
	}
	// RFC 9422 §4.
	return append(caps, "LIMITS MAILMAX="+strconv.Itoa(c.limits.Transactions)+" RCPTMAX="+strconv.Itoa(c.limits.Recipients))
}
