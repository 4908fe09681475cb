package intake

import (
	"context"
	"errors"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
)

// Auth starts a SASL exchange. The engine has already refused clear text, a second
// sign-in, and mechanisms that are not offered.
func (s *session) Auth(ctx context.Context, mech string) (server.SASL, mail.Reply) {
	x, err := s.in.Accounts.Begin(mech, accounts.Peer{Remote: peer(s.conn), TLS: s.hello.TLS, Certificate: s.hello.Certificate, For: accounts.ScopeSend})
	if err != nil {
		return nil, s.refuse(ctx, fact.Fact{Rule: ruleOf(err), Reply: accounts.Reply(err), Text: err.Error()})
	}
	return &exchange{s: s, x: x}, mail.Reply{}
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
	e.s.account = proof
	f := e.fact()
	f.Reply = accounts.Reply(nil)
	e.s.tell(ctx, proof.Address, f)
	e.signedIn(ctx, f)
	return nil, true, f.Reply
}

// failed records a failed sign-in. It is a stranger's fact: whoever failed to sign
// in is nobody, whatever account he named.
func (e *exchange) failed(err error) mail.Reply {
	e.s.refused++
	f := e.fact()
	f.Rule, f.Reply = ruleOf(err), accounts.Reply(err)
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
