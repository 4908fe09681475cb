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
	case slices.ContainsFunc(translated(), within):
		return "it stands for somebody who came through a translator, and nothing proves who that is"
	case slices.Contains(h.Gateways, a):
		return "it is a gateway of this host, and whoever comes through looks like it"
	case slices.ContainsFunc(h.Balancers, within):
		return "it is a balancer, which speaks for others"
	case slices.ContainsFunc(h.Bridges, within):
		return "it lies in a network of containers, which others come through"
	}
	return ""
}

// Translated reports whether any address of p stands for another of IPv4 that a translator, a relay or a
// tunnel carries: clients of IPv6, which are seen to arrive as they are, prove nothing of those.
func Translated(p netip.Prefix) bool { return slices.ContainsFunc(translated(), p.Overlaps) }

// translated are the networks of addresses that hold one of IPv4.
func translated() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.IPv6Unspecified(), 96),                            // RFC 4291 §2.5.5.1: compatible with IPv4
		netip.PrefixFrom(netip.AddrFrom16([16]byte{8: 0xff, 9: 0xff}), 96),       // of stateless translators (SIIT)
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0x00, 0x64, 0xff, 0x9b}), 32), // RFC 6052, RFC 8215: NAT64
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x00, 0x00}), 32), // RFC 4380: Teredo
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x02}), 16),             // RFC 3056: 6to4
	}
}

// Equal reports whether both say the same.
func (h Host) Equal(o Host) bool {
	return h.Known == o.Known && slices.Equal(h.Own, o.Own) && slices.Equal(h.Gateways, o.Gateways) &&
		slices.Equal(h.Bridges, o.Bridges) && slices.Equal(h.Balancers, o.Balancers)
}
