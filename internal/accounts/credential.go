package accounts

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/mail"
)

// Kind says what a credential is. The zero Kind is none, and opens nothing.
type Kind uint8

const (
	KindUnknown     Kind = iota
	KindPassword         // the account's own, of which there is one
	KindApp              // a password of one device
	KindCertificate      // the key of a certificate that the client shows in TLS
	KindLocal            // the kernel's word who a user of this host is
	KindToken            // an access token of the OpenID provider
	KindNetwork          // the address of a client in a trusted network
)

// String returns the word that is stored and shown.
func (k Kind) String() string {
	switch k {
	case KindPassword:
		return "password"
	case KindApp:
		return "app password"
	case KindCertificate:
		return "certificate"
	case KindLocal:
		return "local user"
	case KindToken:
		return "access token"
	case KindNetwork:
		return "network"
	}
	return "unknown"
}

// MarshalText writes String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what String wrote, and nothing else.
func (k *Kind) UnmarshalText(b []byte) error {
	for _, v := range []Kind{KindPassword, KindApp, KindCertificate, KindLocal, KindToken} {
		if v.String() == string(b) {
			*k = v
			return nil
		}
	}
	return fmt.Errorf("%s is no kind of credential", mail.Printable(string(b), mail.WordShown))
}

// Scope is what a credential may be used for: a set. The zero Scope is nothing.
type Scope uint8

const (
	ScopeSend    Scope = 1 << iota // to submit mail
	ScopeReceive                   // to read the mailbox
	ScopeAll     = ScopeSend | ScopeReceive
)

// String returns the words that are stored and shown.
func (s Scope) String() string {
	switch s {
	case ScopeSend:
		return "send"
	case ScopeReceive:
		return "receive"
	case ScopeAll:
		return "send,receive"
	}
	return "nothing"
}

// ParseScope reads a scope that a credential can have.
func ParseScope(s string) (Scope, error) {
	for _, v := range []Scope{ScopeSend, ScopeReceive, ScopeAll} {
		if v.String() == s {
			return v, nil
		}
	}
	return 0, fmt.Errorf("%s is no scope; a scope is send, receive or send,receive", mail.Printable(s, mail.WordShown))
}

// MarshalText writes String.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what String wrote, and nothing else.
func (s *Scope) UnmarshalText(b []byte) (err error) {
	*s, err = ParseScope(string(b))
	return err
}

// Credential is something with which its account signs in: a value that is made once, and
// only removed afterwards. What proves it is kept apart.
type Credential struct {
	// ID names it for good: no other credential of any account ever has it.
	ID      string    `json:"id"`
	Kind    Kind      `json:"kind"`
	Name    string    `json:"name,omitempty"` // for people; unique among those of the account
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Scope   Scope     `json:"scope"`
	// Networks are those from which it may be used; none: all.
	Networks []netip.Prefix `json:"networks,omitempty"`
	// Certificate is the one that was enrolled; nil: it is none, or was enrolled before such
	// were noted.
	Certificate *Certificate `json:"certificate,omitempty"`
	// ReplacedBy is the credential that was made to take its place when its time is over.
	ReplacedBy string `json:"replaced_by,omitempty"`
}

// Certificate is what people are told of a certificate. Nothing of it decides anything.
type Certificate struct {
	Serial   string    `json:"serial"` // in hexadecimal digits
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"not_after"`
}

// maxIssuer bounds what is kept of the name of a certificate's issuer.
const maxIssuer = 200

func described(c *x509.Certificate) *Certificate {
	return &Certificate{Serial: c.SerialNumber.Text(16), Issuer: mail.ShownLine(c.Issuer.String(), maxIssuer), NotAfter: c.NotAfter.UTC()}
}

// ended reports whether its time is over.
func (c Credential) ended(now time.Time) bool { return !c.Expires.IsZero() && !now.Before(c.Expires) }

// usable says why the credential is good for nothing here and now; nil: it is good. The
// client sees the same as for a wrong password.
func (c Credential) usable(p Peer, now time.Time) error {
	from := func(n netip.Prefix) bool { return n.Contains(p.Remote.Unmap()) }
	switch {
	case c.ended(now):
		return fail(ErrBadCredentials, RuleExpired, "its time was over on "+c.Expires.UTC().Format(time.RFC3339)+": "+c.ID)
	case c.Scope&p.For == 0:
		return fail(ErrBadCredentials, RuleScope, "it may be used to "+c.Scope.String()+" alone: "+c.ID)
	case len(c.Networks) > 0 && !slices.ContainsFunc(c.Networks, from):
		return fail(ErrBadCredentials, RuleNetwork, "it may not be used from this network: "+c.ID)
	}
	return nil
}

// Proof is what a session rests on: who signed in, as the account was then, and with what.
type Proof struct {
	Account
	Credentials []Credential // all that were needed; none: nobody signed in
	// Ends is when the first of them ends, or the certificate that was shown; zero: never.
	Ends time.Time
	For  Scope // what the session is to do
}

// ending returns the proof with the time when the first of its credentials ends, or the
// certificate that p shows, if that is among them.
func (f Proof) ending(p Peer) Proof {
	sooner := func(t time.Time) {
		if !t.IsZero() && (f.Ends.IsZero() || t.Before(f.Ends)) {
			f.Ends = t
		}
	}
	for _, c := range f.Credentials {
		sooner(c.Expires)
		sooner(p.endOf(c))
	}
	return f
}

// endOf is when the certificate ends that was shown for c; zero: c is no certificate.
func (p Peer) endOf(c Credential) time.Time {
	if leaf := p.presented(); c.Kind == KindCertificate && leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

// LocalProof is the proof of a user of this host whose account a is, as the kernel says.
func LocalProof(a Account) Proof {
	return Proof{Account: a, Credentials: []Credential{{Kind: KindLocal, Scope: ScopeSend}}, For: ScopeSend}
}

// NetworkProof is the proof of a client whose network signs in as the account a. That it still
// counts is for who gave the word to say.
func NetworkProof(a Account) Proof {
	return Proof{Account: a, Credentials: []Credential{{Kind: KindNetwork, Scope: ScopeSend}}}
}

// CredentialIDs returns the names of what was signed in with, separated by blanks.
func (p Proof) CredentialIDs() string {
	var ids []string
	for _, c := range p.Credentials {
		if c.ID != "" {
			ids = append(ids, c.ID)
		}
	}
	return strings.Join(ids, " ")
}

// Policy says with what an account may sign in. The zero Policy is nothing.
type Policy uint8

const (
	PolicyUnknown     Policy = iota
	PolicyAny                // whatever it has
	PolicyPassword           // its password or app passwords
	PolicyApp                // app passwords alone
	PolicyCertificate        // certificates alone
	PolicyBoth               // a certificate in TLS, and a password or app password
	PolicyToken              // access tokens of the OpenID provider alone
)

// policies are all that an account can have.
func policies() []Policy {
	return []Policy{PolicyAny, PolicyPassword, PolicyApp, PolicyCertificate, PolicyBoth, PolicyToken}
}

// String returns the word that is stored and shown.
func (p Policy) String() string {
	switch p {
	case PolicyAny:
		return "any"
	case PolicyPassword:
		return "password"
	case PolicyApp:
		return "app"
	case PolicyCertificate:
		return "certificate"
	case PolicyBoth:
		return "both"
	case PolicyToken:
		return "token"
	}
	return "unknown"
}

// ParsePolicy reads a policy that an account can have.
func ParsePolicy(s string) (Policy, error) {
	var words []string
	for _, v := range policies() {
		if v.String() == s {
			return v, nil
		}
		words = append(words, v.String())
	}
	return PolicyUnknown, fmt.Errorf("%s is no way to sign in; it is one of %s",
		mail.Printable(s, mail.WordShown), strings.Join(words, ", "))
}

// MarshalText writes String.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what String wrote, and nothing else.
func (p *Policy) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePolicy(string(b))
	return err
}

// Takes reports whether a credential of kind k is one to sign in with.
func (p Policy) Takes(k Kind) bool {
	switch k {
	case KindPassword:
		return p == PolicyAny || p == PolicyPassword || p == PolicyBoth
	case KindApp:
		return p == PolicyAny || p == PolicyPassword || p == PolicyApp || p == PolicyBoth
	case KindCertificate:
		return p == PolicyAny || p == PolicyCertificate
	case KindToken:
		return p == PolicyAny || p == PolicyToken
	}
	return false
}

// idOf names a credential after the change that made it: changes are numbered over all
// accounts, and no number is used again.
func idOf(kind string, revision uint64) string { return kind + strconv.FormatUint(revision, 10) }

// password is the account's own password as a credential.
func (a Account) password() Credential {
	return Credential{ID: idOf("pw", a.PasswordRevision), Kind: KindPassword, Created: a.PasswordChanged, Scope: ScopeAll}
}

// credential returns what the account has under an id.
func (r *record) credential(id string) (Credential, bool) {
	for _, c := range r.credentials() {
		if c.ID == id {
			return c, true
		}
	}
	return Credential{}, false
}

// credentials returns all that the account has, its password first.
func (r *record) credentials() (all []Credential) {
	if !r.PasswordRevoked {
		all = append(all, r.password())
	}
	for _, h := range r.held {
		all = append(all, h.Credential)
	}
	return all
}

// refuses says why nobody signs in to the account with a credential, even if it is right;
// nil: it opens the account.
func (r *record) refuses(c Credential, p Peer, now time.Time) error {
	switch {
	case r == nil:
		return fail(ErrBadCredentials, RuleNoAccount, "no account has this address")
	case !r.acts(p.For):
		return fail(ErrBadCredentials, RuleNotActive,
			"the account is "+r.Standing.String()+": "+mail.Printable(r.FrozenReason, mail.TextShown))
	case p.For == ScopeSend && !r.Sends():
		return fail(ErrBadCredentials, RuleSilent, "the directory "+r.Source.Directory+" does not let it send")
	case c.Kind == KindPassword && r.PasswordRevoked:
		return fail(ErrBadCredentials, RuleRevoked, "the password was revoked, and there is no new one")
	case c.Kind == KindToken && r.tokens.dead(c):
		return fail(ErrBadCredentials, RuleRevoked, "the access token is one of those that were revoked")
	case !r.SignIn.Takes(c.Kind):
		return fail(ErrBadCredentials, RulePolicy, "the account does not sign in with its "+c.Kind.String())
	}
	if r.SignIn == PolicyBoth {
		if _, err := r.shown(p, now); err != nil {
			return err
		}
	}
	return c.usable(p, now)
}

// Credentials returns what an account has to sign in with, its password first.
func (i *Identity) Credentials(a mail.Address) ([]Credential, error) {
	r := i.record(a.Key())
	if r == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoSuch, mail.Printable(a.String(), mail.AddressShown))
	}
	return r.credentials(), nil
}

// Fallen says why whoever gave the proof may do nothing any more; "" if they may. Every
// change of the account's standing, role or policy ends what was proved before it; the
// revocation or the end of a credential ends what rests on that one.
func (i *Identity) Fallen(p Proof) string {
	r := i.record(p.Address.Key())
	switch {
	case r == nil:
		return "the account was removed"
	case !r.acts(p.For):
		return "the account is " + r.Standing.String()
	case p.For != ScopeReceive && !r.Sends():
		return "the directory " + r.Source.Directory + " does not let the account send"
	case r.Revision != p.Revision:
		return "the account was changed after the sign-in"
	case len(p.Credentials) == 0:
		return "nothing was proved"
	case !p.Ends.IsZero() && !i.o.Now().Before(p.Ends):
		return "the time of the " + p.Credentials[0].Kind.String() + " of the sign-in is over"
	}
	for _, c := range p.Credentials {
		if why := r.lost(c, i.o.Now()); why != "" {
			return why
		}
	}
	return ""
}

// lost says why a credential that was right at a sign-in is good for nothing now.
func (r *record) lost(c Credential, now time.Time) string {
	switch {
	case c.Kind == KindLocal, c.Kind == KindNetwork, c.Kind == KindCertificate && c.ID == "":
		return ""
	case c.Kind == KindToken && !r.SignIn.Takes(KindToken):
		return "the account does not sign in with access tokens any more"
	case c.Kind == KindToken && r.tokens.dead(c):
		return "the access token of the sign-in was revoked"
	case c.Kind == KindToken && c.ended(now):
		return "the time of the access token of the sign-in is over"
	case c.Kind == KindToken:
		return "" // it is kept nowhere
	}
	held, ok := r.credential(c.ID)
	switch {
	case !ok:
		return "the " + c.Kind.String() + " of the sign-in was changed or revoked"
	case held.ended(now):
		return "the time of the " + c.Kind.String() + " of the sign-in is over"
	}
	return ""
}
