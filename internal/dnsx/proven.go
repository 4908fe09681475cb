package dnsx

import (
	"context"
	"errors"
	"net/netip"
	"slices"
)

// Namer is what of a Resolver it takes to know an address by its names.
type Namer interface {
	Pointers(ctx context.Context, ip netip.Addr) (Answer[Name], error)
	OneFamily(ctx context.Context, host Name, f Family) (Answer[netip.Addr], error)
}

// ProvenNames returns, in order, the names of an address that lead back to it: what its owner claims
// and the name's owner confirms. At most most claims are looked at. The error joins those of all
// questions that failed; of what did not fail the names are returned all the same.
func ProvenNames(ctx context.Context, r Namer, ip netip.Addr, most int) (all []string, err error) {
	ip = ip.Unmap().WithZone("")
	claimed, err := r.Pointers(ctx, ip)
	if err != nil {
		return nil, err
	}
	family := IPv6
	if ip.Is4() {
		family = IPv4
	}
	var failed []error
	for _, n := range claimed.Data[:min(len(claimed.Data), most)] {
		back, err := r.OneFamily(ctx, n, family)
		if err != nil {
			failed = append(failed, err)
		} else if slices.Contains(back.Data, ip) {
			all = append(all, n.String())
		}
	}
	slices.Sort(all)
	return all, errors.Join(failed...)
}
