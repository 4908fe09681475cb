package trust

import (
	"net/netip"
	"slices"
)

// Host is what was found of the addresses that others come through. The zero Host was not
// looked at, and bars every address.
type Host struct {
	Known     bool
	Own       []netip.Addr   // of this host's interfaces
	Gateways  []netip.Addr   // of its routes
	Bridges   []netip.Prefix // between this host and its containers, or between this container and its host
	Balancers []netip.Prefix // that speak for others
}

// Bars says why an address never counts for anything; "": it may.
func (h Host) Bars(a netip.Addr) string {
	within := func(p netip.Prefix) bool { return p.Contains(a) }
	a = a.Unmap()
	switch {
	case !h.Known:
		return "this host's own addresses and gateways are not known"
	case !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast():
		return "it is no address that names a client"
	case a.IsLoopback() || slices.Contains(h.Own, a):
		return "it is an address of this host"
	case slices.Contains(h.Gateways, a):
		return "it is a gateway of this host, and whoever comes through looks like it"
	case slices.ContainsFunc(h.Balancers, within):
		return "it is a balancer, which speaks for others"
	case slices.ContainsFunc(h.Bridges, within):
		return "it lies in a network of containers, which others come through"
	}
	return ""
}

// Equal reports whether both say the same.
func (h Host) Equal(o Host) bool {
	return h.Known == o.Known && slices.Equal(h.Own, o.Own) && slices.Equal(h.Gateways, o.Gateways) &&
		slices.Equal(h.Bridges, o.Bridges) && slices.Equal(h.Balancers, o.Balancers)
}
