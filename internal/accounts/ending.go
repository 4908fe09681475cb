package accounts

import (
	"context"
	"slices"
	"time"

	"sallyport/internal/mail"
)

// Ending is a certificate of an account whose end is known, and whose place nothing takes.
type Ending struct {
	Account mail.Address
	Credential
	At time.Time // its end; it may be over
}

// Endings returns the certificates whose end is known and whose place no other certificate
// of the account takes, by accounts. Errors: that of ctx.
func (i *Identity) Endings(ctx context.Context) (all []Ending, err error) {
	people, err := i.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range people {
		r := i.record(a.Address.Key())
		if r == nil {
			continue // it was removed in this moment
		}
		ends := i.Ends(a.Address)
		for _, h := range r.held {
			end := ends[h.ID]
			if h.Kind != KindCertificate || end.IsZero() {
				continue
			}
			// One whose successor was revoked has none.
			if h.ReplacedBy == "" || !slices.ContainsFunc(r.held, func(other held) bool { return other.ID == h.ReplacedBy }) {
				all = append(all, Ending{Account: a.Address, Credential: h.Credential, At: end})
			}
		}
	}
	return all, nil
}
