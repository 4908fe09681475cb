package intake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/signin"
	"sallyport/internal/smtp/server"
	"sallyport/internal/trust"
)

// Auth starts a SASL exchange. The engine has already refused clear text, a second
// sign-in, and mechanisms that are not offered.
func (s *session) Auth(ctx context.Context, mech string) (server.SASL, mail.Reply) {
	if !s.anonymous() {
		// By its certificate or its network, without AUTH. RFC 4954 §4: no second time.
		return nil, s.refuse(ctx, fact.Fact{Rule: RuleSigninAgain, Reply: mail.R(503, "5.5.1", "you are signed in already, without AUTH")})
	}
	x, err := s.visit.Begin(mech)
	if err != nil {
		return nil, s.refuse(ctx, fact.Fact{Rule: signin.RuleOf(err), Reply: accounts.Reply(err), Text: err.Error()})
	}
	return &exchange{x, s}, mail.Reply{}
}

// exchange is one SASL exchange of a session.
type exchange struct {
	*signin.Exchange
	s *session
}

// Next implements server.SASL. That it failed is told to who guards the networks.
func (e *exchange) Next(ctx context.Context, response []byte) (challenge []byte, done bool, r mail.Reply) {
	challenge, done, r = e.Exchange.Next(ctx, response)
	if done && !r.OK() {
		e.s.sighted(ctx, trust.Sighting{Account: e.Attempt().Account.String()})
	}
	return challenge, done, r
}

// Peer is the other end of a connection to one of our doors, as accounts are asked about it:
// it is there to send. ours is the certificate that we present.
func Peer(remote netip.AddrPort, state *tls.ConnectionState, ours *x509.Certificate) accounts.Peer {
	return accounts.Peer{Remote: remote.Addr().Unmap(), TLS: state, Certificate: ours, For: accounts.ScopeSend}
}

// Mechanisms are the SASL mechanisms that a connection is offered, for server.Config.
func (in *Intake) Mechanisms(c server.Channel) []string {
	return in.Accounts.Offered(Peer(c.Remote, c.TLS, nil), c.Plus)
}

// Unoffered says why a connection is not offered EXTERNAL, if its certificate was one to sign
// in with once, for server.Config.
func (in *Intake) Unoffered(c server.Channel, mechanism string) string {
	if mechanism != accounts.MechExternal {
		return ""
	}
	return in.Accounts.Lapsed(Peer(c.Remote, c.TLS, nil))
}

// unasked signs in whoever shows the certificate of an account that chose to be known by it
// alone: many programs show one and just send. It returns a refusal, or none.
func (s *session) unasked(ctx context.Context) (r mail.Reply) {
	if !s.anonymous() || s.hello.TLS == nil || door(s.conn.Kind) != gate.DoorSubmission {
		return r
	}
	return s.visit.Unasked(ctx, mail.R(250, "2.1.0", "sender ok"))
}

// Peer implements signin.Guest.
func (s *session) Peer() accounts.Peer { return Peer(s.conn.Remote, s.hello.TLS, s.hello.Certificate) }

// Seen implements signin.Guest.
func (s *session) Seen(p accounts.Proof) fact.Session { return s.seenAs(p) }

// Began implements signin.Guest.
func (s *session) Began() time.Time { return s.conn.Started }

// Offer implements signin.Guest.
func (s *session) Offer() string { return s.hello.Offer }

// Program implements signin.Guest.
func (s *session) Program(mechanism string) string {
	return program(s.hello.Name, mechanism, s.hello.TLS)
}

// Known implements signin.Guest.
func (s *session) Known(still func() bool) {
	if s.byNetwork() {
		return // its client showed nothing that others have not
	}
	if s.conn.Known != nil {
		s.conn.Known()
	}
	if s.conn.Vouch != nil {
		s.conn.Vouch(still)
	}
}

// End implements signin.Guest.
func (s *session) End() {
	s.conn.End()
	if out := s.leaving.Load(); out != nil {
		out.Recheck()
	}
}
