package access

import (
	"context"
	"strings"

	"sallyport/internal/budget/quota"
	imap "sallyport/internal/imap/server"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/signin"
)

// imapBackend gives one connection to the engine of IMAP, and is its session.
type imapBackend struct{ *reader }

// Connect implements imap.Backend.
func (b *imapBackend) Connect(_ context.Context, c imap.Conn) (imap.Session, error) {
	b.begins(c.ID, c.Started, c.End)
	return b, nil
}

func channelOf(c imap.Channel) channel {
	return channel{tls: c.TLS, certificate: c.Certificate, offer: c.Offer, plus: c.Plus}
}

// Mechanisms implements imap.Session.
func (b *imapBackend) Mechanisms(c imap.Channel) []string { return b.offered(channelOf(c)) }

// Auth implements imap.Session.
func (b *imapBackend) Auth(_ context.Context, c imap.Channel, mechanism string) (imap.SASL, error) {
	x, refusal := b.auth(channelOf(c), mechanism)
	if x == nil {
		return nil, refusalOf(refusal)
	}
	return &imapExchange{b.reader, x}, nil
}

// Login implements imap.Session.
func (b *imapBackend) Login(ctx context.Context, c imap.Channel, user, password string) error {
	return refusalOf(b.login(ctx, channelOf(c), user, password))
}

// Mailboxes implements imap.Session.
func (b *imapBackend) Mailboxes() *mailbox.User { return b.user }

// Room implements imap.Session.
func (b *imapBackend) Room(ctx context.Context) (imap.Room, error) {
	h, err := b.o.Quota(ctx, b.visit.Proof().Address)
	if err != nil {
		return imap.Room{}, err
	}
	return imap.Room{
		Octets: h.Used.Octets, MostOctets: bounded(h.Quota.Octets), Messages: h.Used.Messages, MostMessages: bounded(h.Quota.Messages),
	}, nil
}

// bounded is the most that there may be, below 0 for any number.
func bounded(most int64) int64 {
	if most == quota.Unbounded {
		return -1
	}
	return most
}

// Without implements imap.Session.
func (b *imapBackend) Without() []string {
	return strings.FieldsFunc(b.visit.Proof().Without, func(r rune) bool { return r == ',' })
}

// Program implements imap.Session.
func (b *imapBackend) Program(ctx context.Context, fields map[string]string) {
	b.identified(ctx, fields)
}

// Close implements imap.Session.
func (b *imapBackend) Close(ctx context.Context, why string) {
	switch why {
	case imap.EndInjection, imap.EndErrors, imap.EndAuthFailures, imap.EndNotIMAP, imap.EndTooLong:
		b.closes(ctx, why, true)
	default:
		b.closes(ctx, why, false)
	}
}

// imapExchange is a SASL exchange in IMAP.
type imapExchange struct {
	r *reader
	x *signin.Exchange
}

// Next implements imap.SASL.
func (e *imapExchange) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	challenge, done, reply := e.x.Next(ctx, response)
	if !done {
		return challenge, false, nil
	}
	return nil, true, refusalOf(e.r.settle(ctx, reply))
}

// Cancel implements imap.SASL.
func (e *imapExchange) Cancel(context.Context) { e.x.Cancel() }

// refusalOf says a reply in the words of IMAP; nil: it is 235. RFC 9051 §7.1
func refusalOf(r mail.Reply) error {
	out := &imap.Refusal{Code: "AUTHENTICATIONFAILED", Text: r.Text}
	switch r.Code {
	case 235:
		return nil
	case 454:
		out.Code = "UNAVAILABLE"
	case 421:
		out.Code, out.Close = "LIMIT", true
		if r.Enhanced.Subject != 7 {
			out.Code = "UNAVAILABLE"
		}
	case 501:
		out.Code, out.Bad = "", true
	case 504:
		out.Code = "CANNOT"
	case 538:
		out.Code = "PRIVACYREQUIRED"
	case 0:
		out.Code, out.Text = "UNAVAILABLE", "no decision was made; try again later"
	}
	return out
}
