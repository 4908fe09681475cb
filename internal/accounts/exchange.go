package accounts

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"sallyport/internal/mail"
	"sallyport/internal/screen"
)

// The SASL mechanisms. No other is known here; one that sends the password in a
// form that a stolen file of passwords could answer never will be.
const (
	MechExternal  = "EXTERNAL"           // RFC 4422 appendix A: the certificate of TLS
	MechScramPlus = "SCRAM-SHA-256-PLUS" // RFC 7677, with channel binding
	MechScram     = "SCRAM-SHA-256"      // RFC 7677
	MechPlain     = "PLAIN"              // RFC 4616
	MechLogin     = "LOGIN"              // never standardised; for old clients
	MechBearer    = "OAUTHBEARER"        // RFC 7628: an access token
	MechXOAuth2   = "XOAUTH2"            // what came before it, and many clients know alone
)

// KnownMechanisms returns all of them, the best first.
func KnownMechanisms() []string {
	return []string{MechExternal, MechScramPlus, MechScram, MechPlain, MechLogin, MechBearer, MechXOAuth2}
}

// DefaultMechanisms returns what is offered unless Options say otherwise: all but
// SCRAM-SHA-256-PLUS, whose offer keeps programs built on GNU SASL from signing in (mutt of
// Debian chooses it and has no binding).
func DefaultMechanisms() []string {
	return slices.DeleteFunc(KnownMechanisms(), func(m string) bool { return m == MechScramPlus })
}

// Mechanisms returns what to offer to everybody, the best first: nothing in clear text, and
// channel binding only where there is something to bind to, tokens only where a provider can
// be asked. RFC 4954 §4,
// RFC 8314 §3.3.
func (i *Identity) Mechanisms(tlsOn, plus bool) []string {
	if !tlsOn {
		return nil
	}
	var out []string
	for _, m := range KnownMechanisms() {
		token := m == MechBearer || m == MechXOAuth2
		if slices.Contains(i.offered(), m) && (plus || m != MechScramPlus) && m != MechExternal && (!token || i.provider() != nil) {
			out = append(out, m)
		}
	}
	return out
}

// step handles one response. A nil next ends the exchange.
type step func(ctx context.Context, response []byte) (challenge []byte, next step, err error)

// Exchange is one SASL exchange. It belongs to one session and is used by one
// goroutine.
type Exchange struct {
	id        *Identity
	peer      Peer
	mechanism string
	next      step
	user      string // as the client wrote it
	known     bool   // the user had signed in from this network before
	proof     Proof
	err       error
}

// Begin starts an exchange. It refuses clear text and whatever Mechanisms does
// not offer on this connection.
func (i *Identity) Begin(mech string, p Peer) (*Exchange, error) {
	if !p.private() {
		return nil, fail(ErrClear, RuleClear, "the connection is not encrypted")
	}
	mech = strings.ToUpper(mech)
	// Whom a partner's certificate names is judged, so that the trace says what is wrong with it.
	named := mech == MechExternal && p.Partner.Holder != "" && slices.Contains(i.offered(), mech)
	if !named && !slices.Contains(i.Offered(p, i.ChannelBinding(p.TLS)), mech) {
		return nil, fail(ErrMechanism, RuleMechanism, mail.Printable(mech, mail.WordShown)+" is not offered")
	}
	x := &Exchange{id: i, peer: p, mechanism: mech}
	switch mech {
	case MechPlain:
		x.next = x.plain
	case MechLogin:
		x.next = x.login
	case MechExternal:
		x.next = x.external
	case MechBearer:
		x.next = x.bearer
	case MechXOAuth2:
		x.next = x.xoauth2
	case MechScram, MechScramPlus:
		x.next = x.scramFirst
	}
	return x, nil
}

// Next takes the client's response, decoded, and returns either the challenge to
// send (done is false) or the end: err nil means signed in, and Reply(err) is the
// answer in either case. A nil response means that AUTH came without an initial
// one. The server-final message of SCRAM is a challenge, which the client answers
// with an empty response. RFC 4954 §4.
func (x *Exchange) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	if x.next == nil {
		return nil, true, x.end(fail(ErrMalformed, RuleMalformed, "the exchange is over"))
	}
	if len(response) > x.id.limits().ResponseOctets {
		return nil, true, x.end(fail(ErrMalformed, RuleMalformed, "the response is too long"))
	}
	challenge, x.next, err = x.next(ctx, response)
	if err != nil {
		return nil, true, x.end(err)
	}
	return challenge, x.next == nil, nil
}

// Cancel ends the exchange because the client sent "*" or left.
func (x *Exchange) Cancel() {
	if x.next != nil {
		_ = x.end(fail(ErrCancelled, RuleCancelled, "the client ended the exchange"))
	}
}

func (x *Exchange) end(err error) error {
	x.next, x.err, x.proof = nil, err, Proof{}
	return err
}

// names notes who the client says it is, and whether that account is at home where
// it comes from: a success will make it so.
func (x *Exchange) names(user string) {
	x.user = user
	if a, err := mail.ParseAddress(user, mail.UTF8); err == nil {
		x.known = x.id.knows(a.Key(), screen.Network(x.peer.Remote))
	}
}

// Proof returns who signed in and with what; false before the exchange ended well.
func (x *Exchange) Proof() (Proof, bool) {
	return x.proof, x.next == nil && x.err == nil && !x.proof.Address.IsZero() && len(x.proof.Credentials) > 0
}

// Attempt is what the trace should know of an exchange. It never holds a password,
// nor a user name without "@", which may be one typed in the wrong field.
type Attempt struct {
	Mechanism string
	User      string       // as the client wrote it, quoted; only described when it has no "@"; "" if it did not come
	Account   mail.Address // the address that was tried, whether there is such an account or not
	Remote    netip.Addr
	Network   netip.Prefix
	Known     bool // the account had signed in from this network before
	Rule      Rule // RuleNone: the exchange is not over
	Why       string
	// Credentials are those with which it succeeded.
	Credentials []Credential
}

// Attempt returns how the exchange went so far.
func (x *Exchange) Attempt() Attempt {
	a := Attempt{Mechanism: x.mechanism, Remote: x.peer.Remote, Network: screen.Network(x.peer.Remote)}
	a.User = describeUser(x.user)
	if addr, err := mail.ParseAddress(x.user, mail.UTF8); err == nil && strings.Contains(addr.Domain().ASCII(), ".") {
		a.Account, a.Known = addr, x.known
	}
	if p, ok := x.Proof(); ok {
		a.Rule, a.Why, a.Credentials = RuleSignedIn, "the "+p.Credentials[0].Kind.String()+" was right", p.Credentials
	}
	var e *SignInError
	switch {
	case errors.As(x.err, &e):
		a.Rule, a.Why = e.Rule, e.Why
	case x.err != nil:
		a.Rule, a.Why = RuleUnavailable, x.err.Error()
	}
	return a
}

// plain reads [authzid] NUL authcid NUL passwd. RFC 4616 §2.
func (x *Exchange) plain(ctx context.Context, response []byte) ([]byte, step, error) {
	if response == nil {
		return []byte{}, x.plain, nil
	}
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 || len(parts[2]) == 0 || !utf8.Valid(response) {
		return nil, nil, fail(ErrMalformed, RuleMalformed, "PLAIN is [identity] NUL user NUL password")
	}
	x.names(string(parts[1]))
	if err := sameIdentity(string(parts[0]), x.user); err != nil {
		return nil, nil, err
	}
	return x.password(ctx, string(parts[2]))
}

// login asks for the user name, which old clients also send at once.
func (x *Exchange) login(_ context.Context, response []byte) ([]byte, step, error) {
	if response == nil {
		return []byte("Username:"), x.login, nil
	}
	if len(response) == 0 || !utf8.Valid(response) {
		return nil, nil, fail(ErrMalformed, RuleMalformed, "the user name is empty or not UTF-8")
	}
	x.names(string(response))
	return []byte("Password:"), x.loginPassword, nil
}

func (x *Exchange) loginPassword(ctx context.Context, response []byte) ([]byte, step, error) {
	if len(response) == 0 || !utf8.Valid(response) {
		return nil, nil, fail(ErrMalformed, RuleMalformed, "the password is empty or not UTF-8")
	}
	return x.password(ctx, string(response))
}

func (x *Exchange) password(ctx context.Context, password string) ([]byte, step, error) {
	proof, err := x.id.SignIn(ctx, x.user, password, x.peer)
	if err != nil {
		return nil, nil, err
	}
	x.proof = proof
	return nil, nil, nil
}

// sameIdentity admits no authorization identity but the user's own: nobody acts
// for another account. RFC 4616 §2, RFC 5802 §5.1.
func sameIdentity(authzid, user string) error {
	if authzid == "" {
		return nil
	}
	z, errZ := mail.ParseAddress(authzid, mail.UTF8)
	u, errU := mail.ParseAddress(user, mail.UTF8)
	if errZ == nil && errU == nil && z.Key() == u.Key() {
		return nil
	}
	return fail(ErrBadCredentials, RuleAuthzid, "asked to act as "+describeUser(authzid))
}
