// Package credentials implements the operator actions on what accounts sign in with: app
// passwords, certificates of devices, and the authority that signs them.
package credentials

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/ca"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
)

// Identity keeps the credentials of accounts.
type Identity = accounts.Identity

// Options are what Actions act on. All are needed.
type Options struct {
	Credentials *Identity
	// DeviceCA signs the certificates of devices.
	DeviceCA DeviceCA
	// Accounts are the addresses of all accounts.
	Accounts func(context.Context) ([]mail.Address, error)
	// Host is our own name.
	Host func() string
	// EndSessions ends those live sessions of an account whose sign-in gives no right any
	// more, and says how many.
	EndSessions func(account mail.Address) int
	Now         func() time.Time
}

// Actions are what an operator can do with what accounts sign in with.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Client calls them.
type Client struct{ *call.Client }

// Explain says what kind of failure an error of credentials is; nil: it is none of theirs.
func Explain(err error) *call.Error {
	var taken *accounts.TakenError
	switch {
	case errors.As(err, &taken):
		return call.Exists(call.Words(err) + insteadOf(taken))
	case errors.Is(err, ca.ErrRequest), errors.Is(err, ca.ErrTooLong):
		return call.Of(call.CodeInvalid, err)
	}
	return nil
}

// insteadOf says what to do where a name is taken.
func insteadOf(t *accounts.TakenError) string {
	switch {
	case t.Name == "":
		return ""
	case t.Kind == accounts.KindCertificate:
		return "; one that takes its place: sallyport cert renew ADDRESS " + mail.Word(t.Name)
	}
	return "; take another name, or revoke it first: sallyport account app rm ADDRESS " + mail.Word(t.Name)
}

// Credential is a credential as operators see it.
type Credential struct {
	Account  string    `json:"account"`
	ID       string    `json:"id"`
	Kind     string    `json:"kind"` // "password", "app password"
	Name     string    `json:"name,omitempty"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`
	Scope    string    `json:"scope"`
	Networks []string  `json:"networks,omitempty"`
	LastUsed time.Time `json:"last_used,omitzero"` // to the hour
	// Ends is when it ends, by itself or with the certificate that was last shown for it; zero:
	// no end is known.
	Ends time.Time `json:"ends,omitzero"`
	// Serial and Issuer are those of the certificate that was enrolled; "": not known.
	Serial     string `json:"serial,omitempty"`
	Issuer     string `json:"issuer,omitempty"`
	ReplacedBy string `json:"replaced_by,omitempty"` // the id of the one that takes its place
	// Password is told once, by AppAdd.
	Password      string `json:"password,omitempty"`
	SessionsEnded int    `json:"sessions_ended,omitempty"` // told by AppRemove
}

// AppAdd asks for an app password.
type AppAdd struct {
	Account  string        `json:"account"`
	Name     string        `json:"name"`
	Scope    string        `json:"scope"`
	Networks []string      `json:"networks,omitempty"`
	Lasts    time.Duration `json:"lasts,omitempty"` // 0: for good
}

// CredentialRef names a credential of an account, by its id or its name.
type CredentialRef struct {
	Account    string `json:"account"`
	Credential string `json:"credential"`
}

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) {
	call.Answer(routes, "account.app.add", op.AppAdd)
	call.Answer(routes, "account.app.rm", op.AppRemove)
	call.Listing(routes, "account.app.ls", op.AppList)
	call.Answer(routes, "cert.enroll", op.CertEnroll)
	call.Answer(routes, "cert.revoke", op.CertRevoke)
	call.Listing(routes, "cert.ls", op.CertList)
	call.Answer(routes, "cert.issue", op.CertIssue)
	call.Listing(routes, "cert.crl", op.CertCRL)
	call.Listing(routes, "cert.ca.ls", op.CAList)
	call.Answer(routes, "cert.ca.rollover", op.CARollover)
}

// AppAdd makes an app password and tells it, this once.
func (op *Actions) AppAdd(ctx context.Context, by call.Caller, r AppAdd) (Credential, error) {
	a, err := call.ParseAccount(r.Account)
	if err != nil {
		return Credential{}, err
	}
	want := accounts.AppPassword{Name: r.Name}
	if want.Scope, err = accounts.ParseScope(r.Scope); err != nil {
		return Credential{}, call.Invalid(err)
	}
	if want.Networks, err = parseNetworks(r.Networks); err != nil {
		return Credential{}, err
	}
	if r.Lasts < 0 {
		return Credential{}, call.Refused("it would end before it begins")
	}
	if r.Lasts > 0 {
		want.Expires = op.o.Now().Add(r.Lasts)
	}
	made, password, err := op.o.Credentials.AddApp(ctx, a, want, func(c accounts.Credential) [][]byte {
		return fact.EncodeAll(call.AccountChanged(op.o.Now(), by, a, "app password added", credentialPairs(c)...))
	})
	if err != nil {
		return Credential{}, err
	}
	v := op.credential(a, made)
	v.Password = password
	return v, nil
}

// parseNetworks reads networks and single addresses.
func parseNetworks(texts []string) (all []netip.Prefix, err error) {
	for _, s := range texts {
		n, err := netip.ParsePrefix(s)
		if addr, notOne := netip.ParseAddr(s); notOne == nil {
			n, err = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
		}
		if err != nil {
			return nil, call.Invalid(fmt.Errorf("%s is no network; write one as 192.0.2.0/24 or 2001:db8::/48", mail.Printable(s, mail.ValueShown)))
		}
		all = append(all, n.Masked())
	}
	return all, nil
}

// AppRemove revokes an app password; the sessions that were opened with it end.
func (op *Actions) AppRemove(ctx context.Context, by call.Caller, r CredentialRef) (Credential, error) {
	a, err := call.ParseAccount(r.Account)
	if err != nil {
		return Credential{}, err
	}
	all, err := op.o.Credentials.Credentials(a)
	if err != nil {
		return Credential{}, err
	}
	if c, ok := named(all, accounts.KindApp, r.Credential); ok {
		return op.revoke(ctx, by, a, c)
	}
	return Credential{}, call.NotFound(fmt.Sprintf("%s has no app password %s; see: sallyport account app ls %s", a, mail.Printable(r.Credential, mail.ValueShown), a))
}

// named finds a credential of a kind by its id or name.
func named(all []accounts.Credential, k accounts.Kind, name string) (accounts.Credential, bool) {
	for _, c := range all {
		if c.Kind == k && (c.ID == name || strings.EqualFold(c.Name, name)) {
			return c, true
		}
	}
	return accounts.Credential{}, false
}

func (op *Actions) revoke(ctx context.Context, by call.Caller, a mail.Address, c accounts.Credential) (Credential, error) {
	_, err := op.o.Credentials.Revoke(ctx, a, accounts.Choice{IDs: []string{c.ID}}, func([]accounts.Credential) [][]byte {
		return fact.EncodeAll(call.AccountChanged(op.o.Now(), by, a, c.Kind.String()+" revoked", credentialPairs(c)...))
	})
	if err != nil {
		return Credential{}, err
	}
	v := op.credential(a, c)
	v.SessionsEnded = op.o.EndSessions(a)
	return v, nil
}

// AppList calls fn for what the account has to sign in with, its password first.
func (op *Actions) AppList(_ context.Context, _ call.Caller, r call.AccountRef, fn func(Credential) error) error {
	a, err := call.ParseAccount(r.Address)
	if err != nil {
		return err
	}
	all, err := op.o.Credentials.Credentials(a)
	if err != nil {
		return err
	}
	for _, c := range all {
		if err := fn(op.credential(a, c)); err != nil {
			return err
		}
	}
	return nil
}

// credentialPairs are what the trace is told of a credential: never what proves it.
func credentialPairs(c accounts.Credential) []fact.Pair {
	pairs := []fact.Pair{{Name: fact.EvidenceCredential, Value: c.ID}, {Name: "credential name", Value: c.Name}, {Name: "scope", Value: c.Scope.String()}}
	if len(c.Networks) > 0 {
		pairs = append(pairs, fact.Pair{Name: "networks", Value: strings.Join(call.Texts(c.Networks), ", ")})
	}
	if !c.Expires.IsZero() {
		pairs = append(pairs, fact.Pair{Name: "expires", Value: c.Expires.UTC().Format(time.RFC3339)})
	}
	return pairs
}

func (op *Actions) credential(a mail.Address, c accounts.Credential) Credential {
	v := Credential{
		Account: a.String(), ID: c.ID, Kind: c.Kind.String(), Name: c.Name, Created: c.Created, Expires: c.Expires,
		Scope: c.Scope.String(), Networks: call.Texts(c.Networks), LastUsed: op.o.Credentials.LastUsed(a)[c.ID],
		Ends: op.o.Credentials.Ends(a)[c.ID], ReplacedBy: c.ReplacedBy,
	}
	if c.Certificate != nil {
		v.Serial, v.Issuer = c.Certificate.Serial, c.Certificate.Issuer
	}
	return v
}

// AppAdd calls Actions.AppAdd.
func (c Client) AppAdd(ctx context.Context, r AppAdd) (Credential, error) {
	return call.Do[Credential](ctx, c.Client, "account.app.add", r)
}

// AppRemove calls Actions.AppRemove.
func (c Client) AppRemove(ctx context.Context, r CredentialRef) (Credential, error) {
	return call.Do[Credential](ctx, c.Client, "account.app.rm", r)
}

// AppList calls Actions.AppList.
func (c Client) AppList(ctx context.Context, r call.AccountRef, fn func(Credential) error) error {
	return call.Stream(ctx, c.Client, "account.app.ls", r, fn)
}
