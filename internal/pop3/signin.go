package pop3

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"sallyport/internal/door/sasl"
	imapwire "sallyport/internal/imap/wire"
)

// authorization answers a command before sign-in. RFC 1939 §4.
func (c *conn) authorization(ctx context.Context, cmd command) result {
	switch cmd.verb {
	case "QUIT":
		return ok("goodbye").ending(EndQuit)
	case "STLS":
		return c.startTLS(ctx)
	case "UTF8":
		return ok("") // RFC 6856 §2: messages are told as they are anyhow
	case "USER", "PASS", "AUTH":
		if c.tls == nil {
			return c.told(ctx, cmd.verb, failed("SYS/PERM", "encryption is required to sign in; the credential was not looked at"))
		}
	default:
		return bad("this command is not known, or not at this time")
	}
	mechanisms := c.sess.Mechanisms(c.channel())
	switch {
	case cmd.verb == "AUTH":
		return c.authenticate(ctx, cmd, mechanisms)
	case !offersPlain(mechanisms):
		return c.told(ctx, cmd.verb, failed("SYS/PERM", cmd.verb+" is not offered here"))
	case cmd.verb == "USER":
		if cmd.arg == "" {
			return bad("a name is wanted")
		}
		c.user = cmd.arg
		return ok("")
	case c.user == "":
		return bad("USER comes first")
	}
	user := c.user
	c.user = ""
	if err := c.sess.Login(ctx, c.channel(), user, cmd.arg); err != nil {
		return c.refused(ctx, err)
	}
	return c.welcome(ctx, commandPass)
}

// told tells the session of a sign-in that is refused here, which nobody else hears of.
func (c *conn) told(ctx context.Context, command string, res result) result {
	c.sess.Refused(ctx, command, res.text)
	return res
}

const (
	commandPass = "PASS"
	commandAuth = "AUTH"
)

func offersPlain(mechanisms []string) bool { return slices.Contains(mechanisms, "PLAIN") }

// authenticate answers AUTH. Without a mechanism it lists them, as old programs expect. RFC 5034
// §4.
func (c *conn) authenticate(ctx context.Context, cmd command, mechanisms []string) result {
	words := strings.Fields(cmd.arg)
	if len(words) == 0 {
		c.Line("+OK")
		for _, m := range mechanisms {
			c.Line(m)
		}
		c.Line(".")
		return result{}
	}
	var response []byte
	if len(words) > 1 {
		var cancelled bool
		var fault *imapwire.Fault
		if response, cancelled, fault = imapwire.ParseResponse([]byte(words[1])); len(words) > 2 || cancelled || fault != nil {
			return c.told(ctx, commandAuth, bad("the initial response is no base64"))
		}
	}
	mechanism := strings.ToUpper(words[0])
	if !slices.Contains(mechanisms, mechanism) {
		return c.told(ctx, commandAuth, failed("", "this mechanism is not offered"))
	}
	m, err := c.sess.Auth(ctx, c.channel(), mechanism)
	if err != nil || m == nil {
		return c.refused(ctx, err)
	}
	return c.exchange(ctx, m, mechanism, response)
}

// exchange signs in by a mechanism. All responses together have the time of one command.
func (c *conn) exchange(ctx context.Context, m SASL, mechanism string, response []byte) result {
	c.WaitUntil(c.o.Now().Add(c.o.Limits.StrangerTimeout))
	err := sasl.Run(ctx, sasl.Line{Write: c.Write, Read: c.readLine, Rounds: c.o.Limits.AuthRounds}, m, mechanism, response)
	switch {
	case err == nil:
		return c.welcome(ctx, commandAuth)
	case errors.Is(err, sasl.ErrBroken):
		return result{end: c.broken(err)}
	case errors.Is(err, sasl.ErrGaveUp):
		return c.told(ctx, commandAuth, c.refused(ctx, &Refusal{Text: err.Error()}))
	case errors.Is(err, sasl.ErrTooLong):
		return c.told(ctx, commandAuth, c.refused(ctx, &Refusal{Code: "AUTH", Text: err.Error()}))
	}
	return c.refused(ctx, err)
}

// refused tells why a sign-in failed, and makes the next one slower. One that was put off counts
// as much as one that was wrong: else whoever is kept from guessing could ask without end
// whether he still is.
func (c *conn) refused(ctx context.Context, err error) result {
	r, known := errors.AsType[*Refusal](err)
	if !known {
		r = &Refusal{Code: "SYS/TEMP", Text: "no decision was made; try again later"}
	}
	c.authFailures++
	c.stray = true
	c.Pause(ctx, time.Duration(c.authFailures)*c.o.Limits.AuthFailureDelay)
	res := failed(r.Code, r.Text)
	switch {
	case r.Close:
		res.end = EndPolicy
	case c.authFailures >= c.o.Limits.AuthFailures:
		res.end = EndAuthFailures
	}
	return res
}

// welcome gives who has signed in the mailbox, if nobody else has it.
func (c *conn) welcome(ctx context.Context, command string) result {
	c.SignedIn()
	user := c.sess.Mailboxes()
	if user == nil {
		return c.told(ctx, command, failed("SYS/TEMP", "the mailbox cannot be opened now").ending(EndPolicy))
	}
	if !c.o.Locks.take(user) {
		return c.told(ctx, command, failed("IN-USE", "another POP3 session has the mailbox").ending(EndPolicy)) // RFC 2449 §8.1.2
	}
	drop, err := openMaildrop(ctx, user)
	if err != nil {
		c.o.Locks.give(user)
		c.o.Logger.Warn("a mailbox was not opened", "conn", c.info.ID, "err", err)
		return c.told(ctx, command, failed("SYS/TEMP", "the mailbox cannot be opened now").ending(EndPolicy))
	}
	c.drop = drop
	return ok("signed in")
}

// startTLS answers STLS. RFC 2595 §4.
func (c *conn) startTLS(ctx context.Context) result {
	switch {
	case c.tls != nil:
		return failed("", "TLS is on already")
	case c.o.TLS == nil:
		return failed("", "TLS is not offered")
	case c.In.Buffered() > 0:
		// CVE-2011-0411: what was sent in clear must never count as sent under TLS.
		return failed("", "nothing may follow STLS before TLS is on").ending(EndInjection)
	}
	c.Line("+OK begin TLS now")
	if err := c.Flush(); err != nil {
		return result{end: EndEOF}
	}
	if err := c.handshake(ctx); err != nil {
		// No channel is left in which a word would be safe.
		return result{end: EndTLS}
	}
	c.strange, c.user = 0, ""
	return result{}
}

// handshake puts TLS on top of the connection. Nothing is buffered.
func (c *conn) handshake(ctx context.Context) (err error) {
	c.tls, c.offer, err = c.StartTLS(ctx, c.o.TLS, c.o.Now().Add(c.o.Limits.HandshakeTimeout), c.o.Handshake)
	if err != nil {
		c.o.Logger.Debug("TLS handshake failed", "conn", c.info.ID, "remote", c.info.Remote.String(), "err", err)
	}
	return err
}
