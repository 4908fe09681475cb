// Package signing implements the operator actions on DKIM keys: make the next, check the DNS for
// them, activate them, import those of another program, and remove them.
package signing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/fact"
	"sallyport/internal/keyring"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
)

// Options are what Actions act on. All are needed but Keys.
type Options struct {
	// Keys are the keys that sign mail; nil: nothing is signed here.
	Keys SigningKeys
	Ours func(mail.Domain) bool
	Now  func() time.Time
}

// Actions are what an operator can do with the keys that sign mail.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Client calls them.
type Client struct{ *call.Client }

// SigningKeys is what an operator needs of package keyring.
type SigningKeys interface {
	Domains() []mail.Domain
	Keys(d mail.Domain) []keyring.Key
	Rotate(ctx context.Context, d mail.Domain, facts [][]byte) ([]keyring.Change, error)
	Import(ctx context.Context, n dkim.KeyName, secret []byte, facts [][]byte) ([]keyring.Change, error)
	Activate(ctx context.Context, d mail.Domain, selector string, facts [][]byte) ([]keyring.Change, error)
	Drop(ctx context.Context, n dkim.KeyName, facts [][]byte) ([]keyring.Change, error)
	Look(ctx context.Context, d mail.Domain) (map[dkim.KeyName]keyring.Sight, []keyring.Change, error)
}

// DKIMKey is a signing key as operators see it. Its secret never leaves the server.
type DKIMKey struct {
	Domain    string    `json:"domain"`
	Selector  string    `json:"selector"`
	Algorithm string    `json:"algorithm"`
	Bits      int       `json:"bits"`
	State     string    `json:"state"`
	Signs     bool      `json:"signs"`
	Forced    bool      `json:"forced,omitempty"`
	Created   time.Time `json:"created"`
	Since     time.Time `json:"since"`
	Seen      time.Time `json:"seen,omitzero"`
	Lost      time.Time `json:"lost,omitzero"`
	Name      string    `json:"name"`            // of the record
	Text      string    `json:"text"`            // of the record
	Zone      string    `json:"zone"`            // the record as a line of a zone file
	Sight     string    `json:"sight,omitempty"` // what the DNS shows, where it was asked
}

// DKIMRef names a domain of ours, and a selector where one key is meant.
type DKIMRef struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector,omitempty"`
}

// DKIMImport brings a private key as the program keeps it that it comes from.
type DKIMImport struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector"`
	PEM      string `json:"pem"`
}

// DKIMKeys are the keys of a domain after an action, and what it changed.
type DKIMKeys struct {
	Keys    []DKIMKey `json:"keys"`
	Changes []string  `json:"changes,omitempty"`
}

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) {
	call.Listing(routes, "dkim.ls", op.DKIMList)
	call.Answer(routes, "dkim.rotate", op.DKIMRotate)
	call.Answer(routes, "dkim.check", op.DKIMCheck)
	call.Answer(routes, "dkim.activate", op.DKIMActivate)
	call.Answer(routes, "dkim.import", op.DKIMImport)
	call.Answer(routes, "dkim.rm", op.DKIMRemove)
}

// DKIMList lists the keys of a domain, or of all.
func (op *Actions) DKIMList(_ context.Context, _ call.Caller, r DKIMRef, fn func(DKIMKey) error) error {
	domains := op.o.Keys.Domains()
	if r.Domain != "" {
		d, err := mail.ParseDomain(r.Domain)
		if err != nil {
			return call.Invalid(err)
		}
		domains = []mail.Domain{d}
	}
	for _, d := range domains {
		for _, k := range op.o.Keys.Keys(d) {
			if r.Selector != "" && r.Selector != k.Name.Selector {
				continue
			}
			if err := fn(viewKey(k)); err != nil {
				return err
			}
		}
	}
	return nil
}

// DKIMRotate makes new keys for a domain of ours, its first ones or the next. They
// sign when the DNS shows their records.
func (op *Actions) DKIMRotate(ctx context.Context, by call.Caller, r DKIMRef) (DKIMKeys, error) {
	return op.keyAction(by, r, "new keys", func(d mail.Domain, facts [][]byte) ([]keyring.Change, error) {
		return op.o.Keys.Rotate(ctx, d, facts)
	})
}

// DKIMActivate lets new keys sign whatever the DNS shows.
func (op *Actions) DKIMActivate(ctx context.Context, by call.Caller, r DKIMRef) (DKIMKeys, error) {
	return op.keyAction(by, r, "activated without the DNS", func(d mail.Domain, facts [][]byte) ([]keyring.Change, error) {
		return op.o.Keys.Activate(ctx, d, r.Selector, facts)
	})
}

// DKIMImport takes over the key of another program.
func (op *Actions) DKIMImport(ctx context.Context, by call.Caller, r DKIMImport) (DKIMKeys, error) {
	secret, err := keyring.ParseSecret([]byte(r.PEM))
	if err != nil {
		return DKIMKeys{}, keyError(err)
	}
	return op.keyAction(by, DKIMRef{r.Domain, r.Selector}, "a key taken over", func(d mail.Domain, facts [][]byte) ([]keyring.Change, error) {
		return op.o.Keys.Import(ctx, dkim.KeyName{Selector: strings.ToLower(r.Selector), Domain: d}, secret, facts)
	})
}

// DKIMRemove removes a key, also of a domain that is ours no more.
func (op *Actions) DKIMRemove(ctx context.Context, by call.Caller, r DKIMRef) (DKIMKeys, error) {
	d, err := mail.ParseDomain(r.Domain)
	if err != nil {
		return DKIMKeys{}, call.Invalid(err)
	}
	changes, err := op.o.Keys.Drop(ctx, dkim.KeyName{Selector: r.Selector, Domain: d}, op.keyFact(by, d, "key "+r.Selector+" removed"))
	if err != nil {
		return DKIMKeys{}, keyError(err)
	}
	return op.keysOf(d, changes, nil), nil
}

// DKIMCheck asks the DNS for the keys of a domain now, and does what follows.
func (op *Actions) DKIMCheck(ctx context.Context, _ call.Caller, r DKIMRef) (DKIMKeys, error) {
	d, err := mail.ParseDomain(r.Domain)
	if err != nil {
		return DKIMKeys{}, call.Invalid(err)
	}
	if len(op.o.Keys.Keys(d)) == 0 {
		return DKIMKeys{}, call.NotFound(d.ASCII() + " has no keys; sallyport dkim rotate makes them")
	}
	seen, changes, err := op.o.Keys.Look(ctx, d)
	return op.keysOf(d, changes, seen), err
}

// keyAction does something to the keys of a domain that is ours.
func (op *Actions) keyAction(by call.Caller, r DKIMRef, what string, act func(mail.Domain, [][]byte) ([]keyring.Change, error)) (DKIMKeys, error) {
	d, err := mail.ParseDomain(r.Domain)
	if err != nil {
		return DKIMKeys{}, call.Invalid(err)
	}
	if !op.o.Ours(d) {
		return DKIMKeys{}, call.NotFound(d.ASCII() + " is none of our domains")
	}
	changes, err := act(d, op.keyFact(by, d, what))
	if err != nil {
		return DKIMKeys{}, keyError(err)
	}
	return op.keysOf(d, changes, nil), nil
}

// keyError says what kind of failure an error of the keyring is.
func keyError(err error) error {
	text := strings.NewReplacer("keyring: ", "", "dkim: ", "").Replace(call.Words(err))
	switch {
	case errors.Is(err, keyring.ErrNotFound):
		return call.NotFound(text)
	case errors.Is(err, keyring.ErrPending):
		return call.Exists(text)
	case errors.Is(err, keyring.ErrInvalid):
		return call.Refused(text)
	}
	return err
}

func (op *Actions) keyFact(by call.Caller, d mail.Domain, what string) [][]byte {
	return fact.EncodeAll(fact.KeyChanged{At: op.o.Now(), Rule: fact.RuleOperator, Domain: d.ASCII(), Change: what, Evidence: call.DoneBy(by)}.Fact())
}

func (op *Actions) keysOf(d mail.Domain, changes []keyring.Change, seen map[dkim.KeyName]keyring.Sight) DKIMKeys {
	out := DKIMKeys{Keys: []DKIMKey{}}
	for _, k := range op.o.Keys.Keys(d) {
		v := viewKey(k)
		if s, ok := seen[k.Name]; ok {
			v.Sight = s.String()
		}
		out.Keys = append(out.Keys, v)
	}
	for _, c := range changes {
		out.Changes = append(out.Changes, c.Key.Name.String()+": "+c.What)
	}
	return out
}

func viewKey(k keyring.Key) DKIMKey {
	return DKIMKey{
		Domain: k.Name.Domain.ASCII(), Selector: k.Name.Selector, Algorithm: k.Algorithm.String(), Bits: k.Bits,
		State: k.State.String(), Signs: k.Signs(), Forced: k.Forced, Created: k.Created, Since: k.Since, Seen: k.Seen, Lost: k.Lost,
		Name: k.Name.String(), Text: k.Record, Zone: fmt.Sprintf("%s. 3600 IN TXT ( %s )", k.Name, dkim.SplitTXT(k.Record)),
	}
}

// KeysKept counts the keys that there are of a domain.
func (op *Actions) KeysKept(d mail.Domain) int {
	if op.o.Keys == nil {
		return 0
	}
	return len(op.o.Keys.Keys(d))
}

// FirstKeys makes keys for a domain that has just become ours, unless it kept those of earlier, and
// returns them.
func (op *Actions) FirstKeys(ctx context.Context, by call.Caller, d mail.Domain) (keys []DKIMKey, kept bool, err error) {
	if op.o.Keys == nil {
		return nil, false, nil
	}
	if kept = op.KeysKept(d) > 0; !kept {
		if _, err := op.o.Keys.Rotate(ctx, d, op.keyFact(by, d, "first keys")); err != nil {
			return nil, false, call.Internal(d.String() + " is ours, but its signing keys could not be made; sallyport dkim rotate tries again: " + call.Words(err))
		}
	}
	return op.keysOf(d, nil, nil).Keys, kept, nil
}

// DKIMList calls Actions.DKIMList.
func (c Client) DKIMList(ctx context.Context, r DKIMRef, fn func(DKIMKey) error) error {
	return call.Stream(ctx, c.Client, "dkim.ls", r, fn)
}

// DKIMRotate calls Actions.DKIMRotate.
func (c Client) DKIMRotate(ctx context.Context, r DKIMRef) (DKIMKeys, error) {
	return call.Do[DKIMKeys](ctx, c.Client, "dkim.rotate", r)
}

// DKIMCheck calls Actions.DKIMCheck.
func (c Client) DKIMCheck(ctx context.Context, r DKIMRef) (DKIMKeys, error) {
	return call.Do[DKIMKeys](ctx, c.Client, "dkim.check", r)
}

// DKIMActivate calls Actions.DKIMActivate.
func (c Client) DKIMActivate(ctx context.Context, r DKIMRef) (DKIMKeys, error) {
	return call.Do[DKIMKeys](ctx, c.Client, "dkim.activate", r)
}

// DKIMImport calls Actions.DKIMImport.
func (c Client) DKIMImport(ctx context.Context, r DKIMImport) (DKIMKeys, error) {
	return call.Do[DKIMKeys](ctx, c.Client, "dkim.import", r)
}

// DKIMRemove calls Actions.DKIMRemove.
func (c Client) DKIMRemove(ctx context.Context, r DKIMRef) (DKIMKeys, error) {
	return call.Do[DKIMKeys](ctx, c.Client, "dkim.rm", r)
}
