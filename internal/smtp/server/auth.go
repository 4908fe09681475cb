package server

import (
	"context"
	"slices"
	"strings"
	"time"

	"sallyport/internal/door"
	"sallyport/internal/mail"
	"sallyport/internal/screen"
	smtpwire "sallyport/internal/smtp/wire"
)

// mechanisms lists the SASL mechanisms on offer: none in clear text, and none to
// the world's mail servers. RFC 4954 §4, RFC 8314 §3.
func (c *conn) mechanisms() []string {
	if c.srv.cfg.Mechanisms == nil || c.info.Kind == KindMX || c.tls == nil {
		return nil
	}
	return c.srv.cfg.Mechanisms(c.channel())
}

// auth answers AUTH. RFC 4954 §4. A device that says HELO and signs in all the same was not told
// that it may, and may.
func (c *conn) auth(ctx context.Context, p smtpwire.AuthParams) result {
	switch {
	case c.srv.cfg.Mechanisms == nil || c.info.Kind == KindMX:
		return refuse(502, "5.5.1", "AUTH is not offered here")
	case c.tls == nil:
		return refuse(538, "5.7.11", "encryption is required to sign in; the credential was not looked at")
	case !c.state.hello:
		return refuse(503, "5.5.1", "send EHLO first")
	case c.state.authed:
		return refuse(503, "5.5.1", "you are signed in already")
	case c.tx.open():
		return refuse(503, "5.5.1", "not within a transaction")
	case !slices.Contains(c.mechanisms(), p.Mechanism):
		return c.notOffered(p.Mechanism)
	case c.in.Buffered() > 0:
		return tooEager()
	}
	sasl, r := c.sess.Auth(ctx, p.Mechanism)
	if sasl == nil {
		if r.OK() {
			r = mail.Reply{}
		}
		return c.authFailed(ctx, said(mended(r)))
	}
	return binding(p.Mechanism, c.exchange(ctx, sasl, p.Initial))
}

// notOffered refuses a mechanism, with the reason where there is one to tell.
func (c *conn) notOffered(mechanism string) result {
	text := "this mechanism is not offered"
	if c.srv.cfg.Unoffered != nil {
		if why := c.srv.cfg.Unoffered(c.channel(), mechanism); why != "" {
			text += ": " + why
		}
	}
	return refuse(504, "5.5.4", text)
}

// channel is what decides which mechanisms the connection is offered.
func (c *conn) channel() Channel {
	return Channel{Remote: c.info.Remote, TLS: c.tls, Plus: door.Bindable(c.tls)}
}

// cancelledExchange is what a client is told that ends its own exchange.
const cancelledExchange = "cancelled"

// binding says what helps a client that chose a mechanism which binds to TLS and then gave
// up: those built on GNU SASL choose it wherever it is offered, and have no binding.
func binding(mechanism string, res result) result {
	if strings.HasSuffix(mechanism, "-PLUS") && res.own && res.reply.Text == cancelledExchange {
		res.reply.Text = "cancelled: a client that cannot bind to TLS must use another mechanism"
	}
	return res
}

// tooEager refuses octets behind AUTH or a response: whoever sends them has not
// waited for the challenge, so they were not meant as an answer to it.
func tooEager() result {
	return refuse(554, "5.5.1", "nothing may follow before AUTH is answered").ending(EndInjection)
}

// exchange carries challenges and responses until the mechanism is done. All responses
// together have the time of one command: a sign-in that is begun holds a place.
func (c *conn) exchange(ctx context.Context, sasl SASL, response []byte) result {
	c.deadline = c.now().Add(c.limits.CommandTimeout)
	for range c.limits.AuthRounds {
		challenge, done, r := sasl.Next(ctx, response)
		if done {
			return c.authDone(ctx, r)
		}
		c.out = smtpwire.AppendChallenge(c.out, challenge)
		var res result
		if response, res = c.response(ctx); response == nil {
			return res
		}
	}
	return c.authFailed(ctx, refuse(535, "5.7.8", "the exchange takes too long"))
}

// response reads the client's answer to a challenge; nil means that the exchange
// has ended with res.
func (c *conn) response(ctx context.Context) (response []byte, res result) {
	line, err := c.in.ReadLine(c.srv.authLimit)
	if err != nil {
		return nil, result{silent: true, end: c.broken(ctx, "AUTH response", err)}
	}
	if c.in.Buffered() > 0 {
		return nil, tooEager()
	}
	response, cancelled, fault := smtpwire.ParseResponse(line)
	switch {
	case cancelled:
		return nil, c.authFailed(ctx, refuse(501, "5.7.0", cancelledExchange))
	case fault != nil:
		return nil, c.authFailed(ctx, result{reply: fault.Reply, own: true})
	}
	return response, result{}
}

// authDone takes the mechanism's verdict. Only 235 signs in. RFC 4954 §4.
func (c *conn) authDone(ctx context.Context, r mail.Reply) result {
	if r.Code == 235 {
		c.state.authed = true
		c.known()
		return said(r)
	}
	if r.OK() {
		r = mail.Reply{}
	}
	return c.authFailed(ctx, said(mended(r)))
}

// known lets the connection keep its place and its memory: it belongs to somebody of ours.
func (c *conn) known() {
	c.place.Reach(screen.StageOurs)
	if c.hold != nil {
		c.hold.Known()
	}
}

// vouch remembers the client's address as that of somebody of ours.
func (c *conn) vouch(still func() bool) {
	c.srv.admission.Vouch(c.info.Remote.Addr(), c.now(), still)
}

// isStray reports whether a line is what some programs still say when AUTH has failed at once:
// Thunderbird an empty line, mutt the ^A that RFC 7628 §3.2.3 asks for after a challenge.
func isStray(line []byte) bool { return len(line) == 0 || string(line) == "AQ==" }

// authFailed counts a sign-in that failed, and makes the next one slower. One that was put
// off (454) counts as much as one that was wrong: else whoever is kept from guessing could ask
// without end whether he still is, at no cost of his.
func (c *conn) authFailed(ctx context.Context, res result) result {
	if class := res.reply.Class(); class != mail.ClassPermanent && class != mail.ClassTransient {
		return res
	}
	c.count.authFailures++
	c.stray = true
	door.Pause(ctx, time.Duration(c.count.authFailures)*c.limits.AuthFailureDelay)
	return res
}
