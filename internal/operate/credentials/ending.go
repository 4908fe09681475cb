package credentials

import (
	"context"
	"slices"
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

// endings are the certificates of accounts that end soon.
func (op *Actions) endings(ctx context.Context) ([]accounts.Ending, error) {
	now := op.o.Now()
	all, err := op.o.Credentials.Endings(ctx)
	return slices.DeleteFunc(all, func(e accounts.Ending) bool { return !e.At.After(now) || e.At.Sub(now) > endingSoon }), err
}

// CountEnding returns how many certificates of accounts end within 30 days, and nothing takes
// their place.
func (op *Actions) CountEnding(ctx context.Context) (int, error) {
	all, err := op.endings(ctx)
	return len(all), err
}

// Ending looks for certificates of accounts that end soon; nil: none does.
func (op *Actions) Ending(ctx context.Context) (*Ending, error) {
	all, err := op.endings(ctx)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	first := slices.MinFunc(all, func(a, b accounts.Ending) int { return a.At.Compare(b.At) })
	return &Ending{Certificates: len(all), First: op.credential(first.Account, first.Credential)}, nil
}

// Ailing returns the authority that signs, if its key cannot be used or it ends soon; nil:
// all is well, or there is none.
func (op *Actions) Ailing(ctx context.Context) (*DeviceAuthority, error) {
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
