package operate

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Credentials is what an Operator needs of the credentials of accounts.
type Credentials interface {
	AddApp(ctx context.Context, a mail.Address, want accounts.AppPassword, facts func(accounts.Credential) [][]byte) (accounts.Credential, string, error)
	Revoke(ctx context.Context, a mail.Address, choice accounts.Choice, facts func(gone []accounts.Credential) [][]byte, with ...store.Planner) ([]accounts.Credential, error)
	Enroll(ctx context.Context, a mail.Address, d accounts.Device, facts func(accounts.Credential) [][]byte, with ...store.Planner) (accounts.Credential, error)
	SetPolicy(ctx context.Context, a mail.Address, p accounts.Policy, alone bool, facts [][]byte) (accounts.Account, error)
	Credentials(a mail.Address) ([]accounts.Credential, error)
	LastUsed(a mail.Address) map[string]time.Time
	Endings(ctx context.Context) ([]accounts.Ending, error)
	Ends(a mail.Address) map[string]time.Time
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

// AccountSignIn says with what an account may sign in.
type AccountSignIn struct {
	Address string `json:"address"`
	Policy  string `json:"policy"`
	Alone   bool   `json:"alone,omitempty"` // its certificate is enough, without AUTH
}

func credentialRoutes(mux *http.ServeMux, op *Operator) {
	answer(mux, "account.app.add", op.AppAdd)
	answer(mux, "account.app.rm", op.AppRemove)
	listing(mux, "account.app.ls", op.AppList)
	answer(mux, "account.signin", op.AccountSignIn)
	answer(mux, "cert.enroll", op.CertEnroll)
	answer(mux, "cert.revoke", op.CertRevoke)
	listing(mux, "cert.ls", op.CertList)
	issueRoutes(mux, op)
}

// AppAdd makes an app password and tells it, this once.
func (op *Operator) AppAdd(ctx context.Context, by Caller, r AppAdd) (Credential, error) {
	a, err := parseAccount(r.Account)
	if err != nil {
		return Credential{}, err
	}
	want := accounts.AppPassword{Name: r.Name}
	if want.Scope, err = accounts.ParseScope(r.Scope); err != nil {
		return Credential{}, invalid(err)
	}
	if want.Networks, err = parseNetworks(r.Networks); err != nil {
		return Credential{}, err
	}
	if r.Lasts < 0 {
		return Credential{}, invalid(errText("it would end before it begins"))
	}
	if r.Lasts > 0 {
		want.Expires = op.o.Now().Add(r.Lasts)
	}
	made, password, err := op.o.Credentials.AddApp(ctx, a, want, func(c accounts.Credential) [][]byte {
		return fact.EncodeAll(op.accountFact(by, a, "app password added", credentialPairs(c)...))
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
			return nil, invalid(fmt.Errorf("%s is no network; write one as 192.0.2.0/24 or 2001:db8::/48", mail.Printable(s, 60)))
		}
		all = append(all, n.Masked())
	}
	return all, nil
}

// AppRemove revokes an app password; the sessions that were opened with it end.
func (op *Operator) AppRemove(ctx context.Context, by Caller, r CredentialRef) (Credential, error) {
	a, err := parseAccount(r.Account)
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
	return Credential{}, &Error{CodeNotFound, fmt.Sprintf("%s has no app password %s; see: sallyport account app ls %s", a, mail.Printable(r.Credential, 80), a)}
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

func (op *Operator) revoke(ctx context.Context, by Caller, a mail.Address, c accounts.Credential) (Credential, error) {
	_, err := op.o.Credentials.Revoke(ctx, a, accounts.Choice{IDs: []string{c.ID}}, func([]accounts.Credential) [][]byte {
		return fact.EncodeAll(op.accountFact(by, a, c.Kind.String()+" revoked", credentialPairs(c)...))
	})
	if err != nil {
		return Credential{}, err
	}
	v := op.credential(a, c)
	v.SessionsEnded = op.endSessions(a)
	return v, nil
}

// AppList calls fn for what the account has to sign in with, its password first.
func (op *Operator) AppList(_ context.Context, _ Caller, r AccountRef, fn func(Credential) error) error {
	a, err := parseAccount(r.Address)
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

// AccountSignIn says with what an account may sign in from now on; its sessions end.
func (op *Operator) AccountSignIn(ctx context.Context, by Caller, r AccountSignIn) (Account, error) {
	a, err := parseAccount(r.Address)
	if err != nil {
		return Account{}, err
	}
	policy, err := accounts.ParsePolicy(r.Policy)
	if err != nil {
		return Account{}, invalid(err)
	}
	account, err := op.o.Credentials.SetPolicy(ctx, a, policy, r.Alone, fact.EncodeAll(op.accountFact(by, a, "way to sign in changed", fact.Pair{Name: "sign in", Value: policy.String()}, fact.Pair{Name: "without AUTH", Value: strconv.FormatBool(r.Alone)})))
	if err != nil {
		return Account{}, err
	}
	v := op.view(account)
	v.SessionsEnded = op.endSessions(a)
	return v, nil
}

// credentialPairs are what the trace is told of a credential: never what proves it.
func credentialPairs(c accounts.Credential) []fact.Pair {
	pairs := []fact.Pair{{Name: fact.EvidenceCredential, Value: c.ID}, {Name: "credential name", Value: c.Name}, {Name: "scope", Value: c.Scope.String()}}
	if len(c.Networks) > 0 {
		pairs = append(pairs, fact.Pair{Name: "networks", Value: strings.Join(texts(c.Networks), ", ")})
	}
	if !c.Expires.IsZero() {
		pairs = append(pairs, fact.Pair{Name: "expires", Value: c.Expires.UTC().Format(time.RFC3339)})
	}
	return pairs
}

func (op *Operator) credential(a mail.Address, c accounts.Credential) Credential {
	v := Credential{
		Account: a.String(), ID: c.ID, Kind: c.Kind.String(), Name: c.Name, Created: c.Created, Expires: c.Expires,
		Scope: c.Scope.String(), Networks: texts(c.Networks), LastUsed: op.o.Credentials.LastUsed(a)[c.ID],
		Ends: op.o.Credentials.Ends(a)[c.ID], ReplacedBy: c.ReplacedBy,
	}
	if c.Certificate != nil {
		v.Serial, v.Issuer = c.Certificate.Serial, c.Certificate.Issuer
	}
	return v
}

// AppAdd calls Operator.AppAdd.
func (c *Client) AppAdd(ctx context.Context, r AppAdd) (Credential, error) {
	return call[Credential](ctx, c, "account.app.add", r)
}

// AppRemove calls Operator.AppRemove.
func (c *Client) AppRemove(ctx context.Context, r CredentialRef) (Credential, error) {
	return call[Credential](ctx, c, "account.app.rm", r)
}

// AppList calls Operator.AppList.
func (c *Client) AppList(ctx context.Context, r AccountRef, fn func(Credential) error) error {
	return stream(ctx, c, "account.app.ls", r, fn)
}

// AccountSignIn calls Operator.AccountSignIn.
func (c *Client) AccountSignIn(ctx context.Context, r AccountSignIn) (Account, error) {
	return call[Account](ctx, c, "account.signin", r)
}
