package door

import (
	"net/netip"
	"time"

	"sallyport/internal/kit/lru"
)

const (
	// VouchTime is how long an address counts as that of somebody of ours after a sign-in.
	VouchTime = 24 * time.Hour
	// Vouched is how many such addresses are remembered; those that signed in longest ago
	// are forgotten first.
	Vouched = 16_384
)

// vouched remembers the addresses from which somebody of ours signed in of late, with what
// says whether that sign-in still gives a right: it gives none once its account is contained
// or its credential revoked. Nobody earns this without a good credential.
type vouched struct {
	addresses *lru.Cache[netip.Addr, voucher]
}

type voucher struct {
	since time.Time
	still func() bool
}

func newVouched() vouched {
	return vouched{lru.New[netip.Addr, voucher](lru.Bounds{Entries: Vouched}, nil)}
}

// earns notes a sign-in that succeeded now.
func (v vouched) earns(a netip.Addr, now time.Time, still func() bool) {
	if a.IsValid() {
		v.addresses.Put(a, voucher{now, still})
	}
}

// loses takes it from an address whose connection ended for what it did.
func (v vouched) loses(a netip.Addr) { v.addresses.Drop(a) }

// trusts reports whether somebody signed in from an address of late and still might.
func (v vouched) trusts(a netip.Addr, now time.Time) bool {
	by, ok := v.addresses.Get(a)
	age := now.Sub(by.since)
	return ok && age >= 0 && age < VouchTime && by.still()
}
