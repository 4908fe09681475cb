package intake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
)

// Auth starts a SASL exchange. The engine has already refused clear text, a second
// sign-in, and mechanisms that are not offered.
func (s *session) Auth(ctx context.Context, mech string) (server.SASL, mail.Reply) {
	if !s.anonymous() {
		// By its certificate, without AUTH. RFC 4954 §4: no second time.
		return nil, s.refuse(ctx, fact.Fact{Rule: "signin-again", Reply: mail.R(503, "5.5.1", "you are signed in already, by your certificate")})
	}
	x, err := s.in.Accounts.Begin(mech, s.peer())
	if err != nil {
		return nil, s.refuse(ctx, fact.Fact{Rule: ruleOf(err), Reply: accounts.Reply(err), Text: err.Error()})
	}
	return &exchange{s: s, x: x}, mail.Reply{}
}

// Peer is the other end of a connection to one of our doors, as accounts are asked about it:
// it is there to send. ours is the certificate that we present.
func Peer(remote netip.AddrPort, state *tls.ConnectionState, ours *x509.Certificate) accounts.Peer {
	return accounts.Peer{Remote: remote.Addr().Unmap(), TLS: state, Certificate: ours, For: accounts.ScopeSend}
}

func (s *session) peer() accounts.Peer { return Peer(s.conn.Remote, s.hello.TLS, s.hello.Certificate) }

// unasked signs in whoever shows the certificate of an account that chose to be known by it
// alone: many programs show one and just send. It returns a refusal, or none.
func (s *session) unasked(ctx context.Context) (r mail.Reply) {
	if !s.anonymous() || s.hello.TLS == nil || door(s.conn.Kind) != gate.DoorSubmission {
		return r
	}
	proof, ok := s.in.Accounts.Unasked(ctx, s.peer())
	if !ok {
		return r
	}
	f := fact.SignIn{At: s.in.Now(), Rule: "signin-unasked", Session: s.seenAs(proof), Why: "the certificate of the connection was right", Reply: mail.R(250, "2.1.0", "sender ok")}
	if !s.in.live.add(proof, s, s.signedInAs(proof)) {
		f.Rule, f.Reply = "sessions-per-account", mail.R(421, "4.7.0", "too many sessions of this account")
		s.refused++
		s.tell(ctx, proof.Address, f.Fact())
		return f.Reply
	}
	s.become(proof)
	s.conn.Known()
	s.tell(ctx, proof.Address, f.Fact())
	s.signedIn(ctx, "certificate")
	return r
}

// exchange is one SASL exchange of a session.
type exchange struct {
	s *session
	x *accounts.Exchange
}

// Next advances the exchange; its end, good or bad, is a fact.
func (e *exchange) Next(ctx context.Context, response []byte) (challenge []byte, done bool, r mail.Reply) {
	challenge, done, err := e.x.Next(ctx, response)
	if !done {
		return challenge, false, mail.Reply{}
	}
	if err != nil {
		return nil, true, e.failed(err)
	}
	proof, ok := e.x.Proof()
	if !ok {
		return nil, true, e.failed(accounts.ErrBadCredentials)
	}
	if !e.s.in.live.add(proof, e.s, e.s.signedInAs(proof)) {
		return nil, true, e.crowded(ctx, proof.Address)
	}
	e.s.become(proof)
	f := e.fact()
	f.Reply = accounts.Reply(nil)
	e.s.tell(ctx, proof.Address, f)
	e.s.signedIn(ctx, e.x.Attempt().Mechanism)
	return nil, true, f.Reply
}

// failed records a failed sign-in. It is summed up as strangers' facts are, since whoever
// failed to sign in is nobody; but apart for each account that there is, whose owner asks
// later who tried.
func (e *exchange) failed(err error) mail.Reply {
	e.s.refused++
	f := e.fact()
	f.Rule, f.Reply = ruleOf(err), accounts.Reply(err)
	if account, exists := e.s.in.Accounts.Lookup(e.x.Attempt().Account); exists {
		f.Account = account.Address.String() // as it is stored, not as it was typed
		e.s.in.Journal.Many(f)
		return f.Reply
	}
	e.s.in.Journal.Stranger(f)
	return f.Reply
}

// crowded refuses a session too many. It is the account's fact: the credentials
// were right.
func (e *exchange) crowded(ctx context.Context, account mail.Address) mail.Reply {
	e.s.refused++
	f := e.fact()
	f.Rule, f.Reply = "sessions-per-account", mail.R(421, "4.7.0", "too many sessions of this account")
	e.s.tell(ctx, account, f)
	return f.Reply
}

func (e *exchange) fact() fact.Fact {
	a := e.x.Attempt()
	of := e.s.seen()
	of.Account = a.Account.String()
	said := []fact.Pair{{Name: "mechanism", Value: a.Mechanism}, {Name: "user", Value: a.User}, {Name: "network", Value: a.Network.String()}}
	for _, c := range a.Credentials {
		if c.Name != "" {
			said = append(said, fact.Pair{Name: "credential name", Value: c.Name})
		}
	}
	return fact.SignIn{At: e.s.in.Now(), Rule: string(a.Rule), Session: of, Why: a.Why, Evidence: said}.Fact()
}

// ruleOf names the rule of a failed sign-in.
func ruleOf(err error) string {
	var failed *accounts.SignInError
	if errors.As(err, &failed) {
		return string(failed.Rule)
	}
	return "signin-unavailable"
}
