package operate

import (
	"context"
	"time"

	"sallyport/internal/accounts"
)

// endingSoon is how long before its end a certificate is told of.
const endingSoon = 30 * 24 * time.Hour

// Ending are the certificates of people that end soon.
type Ending struct {
	Certificates int        `json:"certificates"` // that end within 30 days, and nothing takes their place
	First        Credential `json:"first"`
}

// ending looks for certificates of accounts that end soon; nil: none does.
func (op *Operator) ending(all []accounts.Account) (e *Ending) {
	now := op.o.Now()
	for _, a := range all {
		held, err := op.o.Credentials.Credentials(a.Address)
		if err != nil {
			continue // it was removed in this moment
		}
		ends := op.o.Credentials.Ends(a.Address)
		for _, c := range held {
			end := ends[c.ID]
			if c.Kind != accounts.KindCertificate || c.ReplacedBy != "" || !end.After(now) || end.Sub(now) > endingSoon {
				continue
			}
			if e == nil {
				e = &Ending{First: op.credential(a.Address, c)}
			}
			e.Certificates++
			if end.Before(e.First.Ends) {
				e.First = op.credential(a.Address, c)
			}
		}
	}
	return e
}

// ailing returns the authority that signs, if its key cannot be used or it ends soon; nil:
// all is well, or there is none.
func (op *Operator) ailing(ctx context.Context) (*DeviceAuthority, error) {
	all, err := op.o.DeviceCA.Authorities(ctx)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	v := op.authority(all[len(all)-1], true)
	if v.KeyFault == "" && v.Ends.Sub(op.o.Now()) > op.o.DeviceCA.Limits().Warn {
		return nil, nil
	}
	return &v, nil
}
