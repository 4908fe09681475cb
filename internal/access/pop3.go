package access

import (
	"context"

	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/pop3"
	"sallyport/internal/signin"
)

// pop3Backend gives one connection to the engine of POP3, and is its session.
type pop3Backend struct{ *reader }

// Connect implements pop3.Backend.
func (b *pop3Backend) Connect(_ context.Context, c pop3.Conn) (pop3.Session, error) {
	b.begins(c.ID, c.Started, c.End)
	return b, nil
}

func pop3Channel(c pop3.Channel) channel {
	return channel{tls: c.TLS, certificate: c.Certificate, offer: c.Offer, plus: c.Plus}
}

// Mechanisms implements pop3.Session.
func (b *pop3Backend) Mechanisms(c pop3.Channel) []string { return b.offered(pop3Channel(c)) }

// Auth implements pop3.Session.
func (b *pop3Backend) Auth(_ context.Context, c pop3.Channel, mechanism string) (pop3.SASL, error) {
	x, refusal := b.auth(pop3Channel(c), mechanism)
	if x == nil {
		return nil, pop3Refusal(refusal)
	}
	return &pop3Exchange{b.reader, x}, nil
}

// Login implements pop3.Session.
func (b *pop3Backend) Login(ctx context.Context, c pop3.Channel, user, password string) error {
	return pop3Refusal(b.login(ctx, pop3Channel(c), user, password))
}

// Mailboxes implements pop3.Session.
func (b *pop3Backend) Mailboxes() *mailbox.User { return b.user }

// Close implements pop3.Session.
func (b *pop3Backend) Close(ctx context.Context, why string) {
	switch why {
	case pop3.EndInjection, pop3.EndErrors, pop3.EndAuthFailures, pop3.EndNotPOP3, pop3.EndTooLong:
		b.closes(ctx, why, true)
	default:
		b.closes(ctx, why, false)
	}
}

// pop3Exchange is a SASL exchange in POP3.
type pop3Exchange struct {
	r *reader
	x *signin.Exchange
}

// Next implements pop3.SASL.
func (e *pop3Exchange) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	challenge, done, reply := e.x.Next(ctx, response)
	if !done {
		return challenge, false, nil
	}
	return nil, true, pop3Refusal(e.r.settle(ctx, reply))
}

// Cancel implements pop3.SASL.
func (e *pop3Exchange) Cancel(context.Context) { e.x.Cancel() }

// pop3Refusal says a reply in the words of POP3; nil: it is 235. RFC 3206
func pop3Refusal(r mail.Reply) error {
	out := &pop3.Refusal{Code: "AUTH", Text: r.Text}
	switch r.Code {
	case 235:
		return nil
	case 454:
		out.Code = "SYS/TEMP"
	case 421:
		out.Code, out.Close = "SYS/TEMP", true
	case 501, 504, 538:
		out.Code = ""
	case 0:
		out.Code, out.Text = "SYS/TEMP", "no decision was made; try again later"
	}
	return out
}
