package server

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"sallyport/internal/door/sasl"
	imapwire "sallyport/internal/imap/wire"
)

// mechanisms lists what is on offer: nothing in clear text. RFC 9051 §6.2.2, RFC 8314 §3.
func (c *conn) mechanisms() []string {
	if c.tls == nil || c.signedIn {
		return nil
	}
	return c.sess.Mechanisms(c.channel())
}

// noSignIn says why nobody can sign in now.
func (c *conn) noSignIn(ctx context.Context, command string) (res result, refused bool) {
	switch {
	case c.signedIn:
		return bad("you are signed in already"), true
	case c.tls == nil:
		// RFC 9051 §6.2.3 and RFC 5530 §3.
		return c.told(ctx, command, no("PRIVACYREQUIRED", "encryption is required to sign in; the credential was not looked at")), true
	}
	return res, false
}

// told tells the session of a sign-in that is refused here, which nobody else hears of.
func (c *conn) told(ctx context.Context, command string, res result) result {
	c.sess.Refused(ctx, command, res.text)
	return res
}

const (
	commandLogin        = "LOGIN"
	commandAuthenticate = "AUTHENTICATE"
)

// login answers LOGIN. RFC 9051 §6.2.3.
func (c *conn) login(ctx context.Context, a imapwire.Login) result {
	if res, refused := c.noSignIn(ctx, commandLogin); refused {
		return res
	}
	if !slices.Contains(c.mechanisms(), "PLAIN") {
		return c.told(ctx, commandLogin, no("CANNOT", "LOGIN is not offered here"))
	}
	if err := c.sess.Login(ctx, c.channel(), a.User, a.Password); err != nil {
		return c.refused(ctx, err)
	}
	return c.welcome()
}

// authenticate answers AUTHENTICATE. RFC 9051 §6.2.2, RFC 4959.
func (c *conn) authenticate(ctx context.Context, a imapwire.Authenticate) result {
	if res, refused := c.noSignIn(ctx, commandAuthenticate); refused {
		return res
	}
	if !slices.Contains(c.mechanisms(), a.Mechanism) {
		return c.told(ctx, commandAuthenticate, no("CANNOT", "this mechanism is not offered"))
	}
	m, err := c.sess.Auth(ctx, c.channel(), a.Mechanism)
	if err != nil || m == nil {
		return c.refused(ctx, err)
	}
	return c.exchange(ctx, m, a)
}

// exchange signs in by a mechanism. All responses together have the time of one command.
func (c *conn) exchange(ctx context.Context, m SASL, a imapwire.Authenticate) result {
	c.WaitUntil(c.o.Now().Add(c.o.Limits.StrangerTimeout))
	read := func() ([]byte, error) {
		line, err := c.In.Line(nil, c.o.Limits.Strangers.CommandOctets)
		return bytes.TrimSuffix(line, []byte("\r\n")), err
	}
	err := sasl.Run(ctx, sasl.Line{Write: c.Write, Read: read, Rounds: c.o.Limits.AuthRounds}, m, a.Mechanism, a.Initial)
	switch {
	case err == nil:
		return c.welcome()
	case errors.Is(err, sasl.ErrBroken):
		return result{status: "-", end: c.broken(err)}
	case errors.Is(err, sasl.ErrGaveUp):
		return c.told(ctx, commandAuthenticate, c.refused(ctx, &Refusal{Text: err.Error(), Bad: true}))
	case errors.Is(err, sasl.ErrTooLong):
		return c.told(ctx, commandAuthenticate, c.refused(ctx, &Refusal{Code: "AUTHENTICATIONFAILED", Text: err.Error()}))
	}
	return c.refused(ctx, err)
}

// refused tells why a sign-in failed, and makes the next one slower. One that was put off counts
// as much as one that was wrong: else whoever is kept from guessing could ask without end
// whether he still is.
func (c *conn) refused(ctx context.Context, err error) result {
	r, known := errors.AsType[*Refusal](err)
	if !known {
		r = &Refusal{Code: "UNAVAILABLE", Text: "no decision was made; try again later"}
	}
	c.authFailures++
	c.stray = true
	c.Pause(ctx, time.Duration(c.authFailures)*c.o.Limits.AuthFailureDelay)
	res := no(r.Code, r.Text)
	if r.Bad {
		res = result{status: "BAD", code: r.Code, text: r.Text}
	}
	switch {
	case r.Close:
		res.end = EndPolicy
	case c.authFailures >= c.o.Limits.AuthFailures:
		res.end = EndAuthFailures
	}
	return res
}

// welcome makes the session one of somebody.
func (c *conn) welcome() result {
	c.SignedIn()
	c.signedIn, c.without = true, map[string]bool{}
	for _, name := range c.sess.Without() {
		c.without[strings.ToUpper(name)] = true
	}
	if c.hold != nil {
		c.hold.Known()
	}
	return okCode("CAPABILITY "+c.capabilities(), "signed in")
}
