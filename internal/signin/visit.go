package signin

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/mail"
	"sallyport/internal/screen"
)

// Guest is a connection, as the desk asks about it.
type Guest interface {
	// Peer is the other end, and what the session is to do.
	Peer() accounts.Peer
	// Seen is what is known of the connection once p is proved.
	Seen(p accounts.Proof) fact.Session
	// Began is when the connection was accepted, and Offer the fingerprint of what its client
	// offered when TLS began; "": it is not known.
	Began() time.Time
	Offer() string
	// Program names the client program as far as it can be told apart, who signed in by a
	// mechanism; "": it cannot.
	Program(mechanism string) string
	// Known lets the connection keep its place, since it belongs to somebody of ours, and
	// remembers its address as long as still says that the sign-in gives a right.
	Known(still func() bool)
	// End ends the session; any goroutine may call it, at any time.
	End()
}

// Visit is one connection at the desk. Its methods are called by one goroutine.
type Visit struct {
	desk      *Desk
	guest     Guest
	proof     accounts.Proof // as the account stood at sign-in, and with what; zero: nobody signed in
	ending    *time.Timer    // ends the session with the time of what was signed in with; nil: that has no end
	mechanism string         // of the sign-in
	refused   int
}

// Visit receives a connection.
func (d *Desk) Visit(g Guest) *Visit { return &Visit{desk: d, guest: g} }

// Proof returns what the session rests on; zero: nobody signed in.
func (v *Visit) Proof() accounts.Proof { return v.proof }

// Anonymous reports whether nobody signed in.
func (v *Visit) Anonymous() bool { return v.proof.Address.IsZero() }

// Refused returns how many sign-ins were refused.
func (v *Visit) Refused() int { return v.refused }

// Fallen says why the account that signed in may do nothing any more; "" if it may.
func (v *Visit) Fallen() string {
	if v.Anonymous() {
		return ""
	}
	return v.desk.o.Accounts.Fallen(v.proof)
}

// Act is what the session does, for who watches accounts.
func (v *Visit) Act() watch.Act {
	by := watch.Act{
		Account: v.proof.Address, Session: v.guest.Seen(v.proof), Began: v.guest.Began(),
		Used: v.proof.Credentials, Offer: v.guest.Offer(),
	}
	p := v.guest.Peer()
	by.Reads = p.For == accounts.ScopeReceive
	if n := screen.Network(p.Remote); n.IsValid() {
		by.Network = n.String()
	}
	return by
}

// Leave ends the visit: the session is not counted any more.
func (v *Visit) Leave() {
	if v.ending != nil {
		v.ending.Stop()
	}
	if !v.Anonymous() {
		v.desk.live.remove(v.proof.Address, v)
	}
}

// Identified tells that the client's program said what it is. Whoever signed in before is told of
// with it from now on.
func (v *Visit) Identified(ctx context.Context) {
	if v.Anonymous() {
		return
	}
	v.desk.live.update(v, v.guest.Seen(v.proof))
	v.told(ctx, v.mechanism)
}

// told tells who watches accounts that somebody signed in, and with which program.
func (v *Visit) told(ctx context.Context, mechanism string) {
	if v.desk.o.Watch == nil {
		return
	}
	by := v.Act()
	by.Program = v.guest.Program(mechanism)
	v.desk.o.Watch.SignedIn(ctx, by)
}

// Begin starts a SASL exchange; an error is what accounts.Reply answers, and nothing of it is
// recorded yet. RuleOf names its rule.
func (v *Visit) Begin(mech string) (*Exchange, error) {
	x, err := v.desk.o.Accounts.Begin(mech, v.guest.Peer())
	if err != nil {
		return nil, err
	}
	return &Exchange{v: v, x: x}, nil
}

// Unasked signs in whoever shows the certificate of an account that chose to be known by it
// alone: many programs show one and just send. in is told nobody but the trace, where it is
// the answer. It returns a refusal, or none.
func (v *Visit) Unasked(ctx context.Context, in mail.Reply) (r mail.Reply) {
	proof, ok := v.desk.o.Accounts.Unasked(ctx, v.guest.Peer())
	if !ok {
		return r
	}
	f := fact.SignIn{
		At: v.desk.o.Now(), Rule: RuleSigninUnasked, Session: v.guest.Seen(proof),
		Why: "the certificate of the connection was right", Reply: in,
	}.Fact()
	if r = v.admit(ctx, proof, "certificate", f); r.OK() {
		return mail.Reply{}
	}
	return r
}

// Network signs in the client of a network that counts now, as p says; why says it in words. in
// is the answer, as for Unasked. It returns a refusal, or none.
func (v *Visit) Network(ctx context.Context, p accounts.Proof, why string, in mail.Reply) (r mail.Reply) {
	f := fact.SignIn{At: v.desk.o.Now(), Rule: RuleSigninNetwork, Session: v.guest.Seen(p), Why: why, Reply: in}.Fact()
	if r = v.admit(ctx, p, "network", f); r.OK() {
		return mail.Reply{}
	}
	return r
}

// Forget takes back a sign-in: the session is nobody's again.
func (v *Visit) Forget() {
	v.Leave()
	v.proof = accounts.Proof{}
}

// Local takes the session for that of an account of which the kernel says that it is there;
// false: the account has as many as it may.
func (v *Visit) Local(p accounts.Proof) bool {
	took := v.desk.take(v, p)
	v.proof = p
	return took
}

// take counts the session of whoever gave the proof; false: the account has as many as it may.
func (d *Desk) take(v *Visit, p accounts.Proof) bool {
	scope := v.guest.Peer().For
	return d.live.add(v, session{d.o.Now(), v.guest.Seen(p), p, scope}, d.limits.Load().of(scope))
}

// tell records a fact of the account that signed in.
func (v *Visit) tell(ctx context.Context, account mail.Address, f fact.Fact) {
	if v.guest.Peer().For == accounts.ScopeReceive {
		v.desk.TellReading(ctx, account, f)
		return
	}
	v.desk.Tell(ctx, account, f)
}

// admit takes the session for that of whoever gave the proof, and records it with f, as long as
// the credential has time; or it refuses a session too many. That is the account's fact:
// the credentials were right.
func (v *Visit) admit(ctx context.Context, p accounts.Proof, mechanism string, f fact.Fact) mail.Reply {
	if !v.desk.take(v, p) {
		v.refused++
		f.Rule, f.Reply = RuleSessionsPerAccount, mail.R(421, "4.7.0", "too many sessions of this account")
		v.tell(ctx, p.Address, f)
		return f.Reply
	}
	v.proof, v.mechanism = p, mechanism
	v.guest.Known(func() bool { return v.desk.o.Accounts.Fallen(p) == "" })
	if !p.Ends.IsZero() {
		v.ending = time.AfterFunc(max(0, p.Ends.Sub(v.desk.o.Now())), v.guest.End)
	}
	v.tell(ctx, p.Address, f)
	v.told(ctx, mechanism)
	if v.desk.o.Accounts.Fallen(p) != "" {
		// It fell between the proof and the count of the session, so that nobody ended it.
		v.guest.End()
	}
	return f.Reply
}

// Exchange is one SASL exchange of a visit.
type Exchange struct {
	v *Visit
	x *accounts.Exchange
}

// Next advances the exchange; its end, good or bad, is a fact. Unless done, the challenge is
// sent. When done, r is the answer: 235, or a refusal.
func (e *Exchange) Next(ctx context.Context, response []byte) (challenge []byte, done bool, r mail.Reply) {
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
	f := e.fact(proof)
	f.Reply = accounts.Reply(nil)
	return nil, true, e.v.admit(ctx, proof, e.x.Attempt().Mechanism, f)
}

// Cancel ends the exchange because the client ended it, or left.
func (e *Exchange) Cancel() { e.x.Cancel() }

// failed records a failed sign-in. It is summed up as strangers' facts are, since whoever
// failed to sign in is nobody; but apart for each account that there is, whose owner asks
// later who tried.
func (e *Exchange) failed(err error) mail.Reply {
	e.v.refused++
	f := e.fact(e.v.proof)
	f.Rule, f.Reply = RuleOf(err), accounts.Reply(err)
	journal := e.v.desk.o.Journal
	if account, exists := e.v.desk.o.Accounts.Lookup(e.x.Attempt().Account); exists {
		f.Account = account.Address.String() // as it is stored, not as it was typed
		journal.Many(f)
		return f.Reply
	}
	journal.Stranger(f)
	return f.Reply
}

// Attempt returns what is known of it so far.
func (e *Exchange) Attempt() accounts.Attempt { return e.x.Attempt() }

// fact is what is known of the exchange; p is what it proved.
func (e *Exchange) fact(p accounts.Proof) fact.Fact {
	a := e.x.Attempt()
	of := e.v.guest.Seen(p)
	of.Account = a.Account.String()
	said := []fact.Pair{
		{Name: "mechanism", Value: a.Mechanism}, {Name: "user", Value: a.User},
		{Name: "network", Value: a.Network.String()},
	}
	for _, c := range a.Credentials {
		if c.Name != "" {
			said = append(said, fact.Pair{Name: "credential name", Value: c.Name})
		}
	}
	return fact.SignIn{At: e.v.desk.o.Now(), Rule: string(a.Rule), Session: of, Why: a.Why, Evidence: said}.Fact()
}

// RuleOf names the rule of a failed sign-in.
func RuleOf(err error) string {
	var failed *accounts.SignInError
	if errors.As(err, &failed) {
		return string(failed.Rule)
	}
	return "signin-unavailable"
}
