package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

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
func (c *conn) noSignIn() (res result, refused bool) {
	switch {
	case c.signedIn:
		return bad("you are signed in already"), true
	case c.tls == nil:
		// RFC 9051 §6.2.3 and RFC 5530 §3.
		return no("PRIVACYREQUIRED", "encryption is required to sign in; the credential was not looked at"), true
	}
	return res, false
}

// login answers LOGIN. RFC 9051 §6.2.3.
func (c *conn) login(ctx context.Context, a imapwire.Login) result {
	if res, refused := c.noSignIn(); refused {
		return res
	}
	if !slices.Contains(c.mechanisms(), "PLAIN") {
		return no("CANNOT", "LOGIN is not offered here")
	}
	if err := c.sess.Login(ctx, c.channel(), a.User, a.Password); err != nil {
		return c.refused(ctx, err)
	}
	return c.welcome()
}

// authenticate answers AUTHENTICATE. RFC 9051 §6.2.2, RFC 4959.
func (c *conn) authenticate(ctx context.Context, a imapwire.Authenticate) result {
	if res, refused := c.noSignIn(); refused {
		return res
	}
	if !slices.Contains(c.mechanisms(), a.Mechanism) {
		return no("CANNOT", "this mechanism is not offered")
	}
	sasl, err := c.sess.Auth(ctx, c.channel(), a.Mechanism)
	if err != nil || sasl == nil {
		return c.refused(ctx, err)
	}
	return c.exchange(ctx, sasl, a)
}

// exchange carries challenges and responses until the mechanism is done. All responses
// together have the time of one command.
func (c *conn) exchange(ctx context.Context, sasl SASL, a imapwire.Authenticate) result {
	response := a.Initial
	c.WaitUntil(c.o.Now().Add(c.o.Limits.StrangerTimeout))
	for range c.o.Limits.AuthRounds {
		challenge, done, err := sasl.Next(ctx, response)
		switch {
		case err != nil:
			return c.refused(ctx, err)
		case done && challenge == nil:
			return c.welcome()
		}
		c.Write(imapwire.AppendChallenge(nil, challenge))
		line, err := c.In.Line(nil, c.o.Limits.Strangers.CommandOctets)
		if err != nil {
			sasl.Cancel(ctx)
			return result{status: "-", end: c.broken(err)}
		}
		if done {
			return c.welcome() // RFC 9051 §6.2.2: what a server says at last is answered by an empty line
		}
		var cancelled bool
		var fault *imapwire.Fault
		response, cancelled, fault = imapwire.ParseResponse(line[:len(line)-2])
		if cancelled || fault != nil {
			sasl.Cancel(ctx)
			return c.gaveUp(ctx, a.Mechanism, cancelled)
		}
	}
	sasl.Cancel(ctx)
	return c.refused(ctx, &Refusal{Code: "AUTHENTICATIONFAILED", Text: "the exchange takes too long"})
}

// gaveUp answers a client that ended the exchange, with what helps one that chose a mechanism
// that binds to TLS and cannot: those built on GNU SASL choose it wherever it is offered.
func (c *conn) gaveUp(ctx context.Context, mechanism string, cancelled bool) result {
	text := "the response is no base64"
	if cancelled {
		text = "cancelled"
		if strings.HasSuffix(mechanism, "-PLUS") {
			text = "cancelled: a client that cannot bind to TLS must use another mechanism"
		}
	}
	return c.refused(ctx, &Refusal{Text: text, Bad: true})
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
