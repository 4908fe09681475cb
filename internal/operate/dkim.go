package operate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/fact"
	"sallyport/internal/keyring"
	"sallyport/internal/mail"
)

// SigningKeys is what an Operator needs of package keyring.
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

// DKIMImport brings a private key in PEM.
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

func signingKeyRoutes(mux *http.ServeMux, op *Operator) {
	listing(mux, "dkim.ls", op.DKIMList)
	answer(mux, "dkim.rotate", op.DKIMRotate)
	answer(mux, "dkim.check", op.DKIMCheck)
	answer(mux, "dkim.activate", op.DKIMActivate)
	answer(mux, "dkim.import", op.DKIMImport)
	answer(mux, "dkim.rm", op.DKIMRemove)
}

// DKIMList lists the keys of a domain, or of all.
func (op *Operator) DKIMList(_ context.Context, _ Caller, r DKIMRef, fn func(DKIMKey) error) error {
	domains := op.o.SigningKeys.Domains()
	if r.Domain != "" {
		d, err := mail.ParseDomain(r.Domain)
		if err != nil {
			return invalid(err)
		}
		domains = []mail.Domain{d}
	}
	for _, d := range domains {
		for _, k := range op.o.SigningKeys.Keys(d) {
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
func (op *Operator) DKIMRotate(ctx context.Context, by Caller, r DKIMRef) (DKIMKeys, error) {
	return op.keyAction(by, r, "new keys", func(d mail.Domain, facts [][]byte) ([]keyring.Change, error) {
		return op.o.SigningKeys.Rotate(ctx, d, facts)
	})
}

// DKIMActivate lets new keys sign whatever the DNS shows.
func (op *Operator) DKIMActivate(ctx context.Context, by Caller, r DKIMRef) (DKIMKeys, error) {
	return op.keyAction(by, r, "activated without the DNS", func(d mail.Domain, facts [][]byte) ([]keyring.Change, error) {
		return op.o.SigningKeys.Activate(ctx, d, r.Selector, facts)
	})
}

// DKIMImport takes over the key of another program.
func (op *Operator) DKIMImport(ctx context.Context, by Caller, r DKIMImport) (DKIMKeys, error) {
	secret, err := keyring.ParsePEM([]byte(r.PEM))
	if err != nil {
		return DKIMKeys{}, keyError(err)
	}
	return op.keyAction(by, DKIMRef{r.Domain, r.Selector}, "a key taken over", func(d mail.Domain, facts [][]byte) ([]keyring.Change, error) {
		return op.o.SigningKeys.Import(ctx, dkim.KeyName{Selector: strings.ToLower(r.Selector), Domain: d}, secret, facts)
	})
}

// DKIMRemove removes a key, also of a domain that is ours no more.
func (op *Operator) DKIMRemove(ctx context.Context, by Caller, r DKIMRef) (DKIMKeys, error) {
	d, err := mail.ParseDomain(r.Domain)
	if err != nil {
		return DKIMKeys{}, invalid(err)
	}
	changes, err := op.o.SigningKeys.Drop(ctx, dkim.KeyName{Selector: r.Selector, Domain: d}, op.keyFact(by, d, "key "+r.Selector+" removed"))
	if err != nil {
		return DKIMKeys{}, keyError(err)
	}
	return op.keysOf(d, changes, nil), nil
}

// DKIMCheck asks the DNS for the keys of a domain now, and does what follows.
func (op *Operator) DKIMCheck(ctx context.Context, _ Caller, r DKIMRef) (DKIMKeys, error) {
	d, err := mail.ParseDomain(r.Domain)
	if err != nil {
		return DKIMKeys{}, invalid(err)
	}
	if len(op.o.SigningKeys.Keys(d)) == 0 {
		return DKIMKeys{}, &Error{CodeNotFound, d.ASCII() + " has no keys; sallyport dkim rotate makes them"}
	}
	seen, changes, err := op.o.SigningKeys.Look(ctx, d)
	return op.keysOf(d, changes, seen), err
}

// keyAction does something to the keys of a domain that is ours.
func (op *Operator) keyAction(by Caller, r DKIMRef, what string, act func(mail.Domain, [][]byte) ([]keyring.Change, error)) (DKIMKeys, error) {
	d, err := mail.ParseDomain(r.Domain)
	if err != nil {
		return DKIMKeys{}, invalid(err)
	}
	if !op.o.Book.Snapshot().IsOurs(d) {
		return DKIMKeys{}, &Error{CodeNotFound, d.ASCII() + " is none of our domains"}
	}
	changes, err := act(d, op.keyFact(by, d, what))
	if err != nil {
		return DKIMKeys{}, keyError(err)
	}
	return op.keysOf(d, changes, nil), nil
}

// keyError says what kind of failure an error of the keyring is.
func keyError(err error) error {
	text := strings.NewReplacer("keyring: ", "", "dkim: ", "").Replace(words(err))
	switch {
	case errors.Is(err, keyring.ErrNotFound):
		return &Error{CodeNotFound, text}
	case errors.Is(err, keyring.ErrPending):
		return &Error{CodeExists, text}
	case errors.Is(err, keyring.ErrInvalid):
		return &Error{CodeInvalid, text}
	}
	return err
}

func (op *Operator) keyFact(by Caller, d mail.Domain, what string) [][]byte {
	return fact.EncodeAll(fact.KeyChanged{At: op.o.Now(), Rule: RuleOperator, Domain: d.ASCII(), Change: what, Evidence: doneBy(by)}.Fact())
}

func (op *Operator) keysOf(d mail.Domain, changes []keyring.Change, seen map[dkim.KeyName]keyring.Sight) DKIMKeys {
	out := DKIMKeys{Keys: []DKIMKey{}}
	for _, k := range op.o.SigningKeys.Keys(d) {
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
