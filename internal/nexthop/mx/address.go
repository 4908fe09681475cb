package mx

import (
	"net/netip"
	"slices"
)

// Refusal says why an address is not dialled. The zero Refusal is none.
type Refusal string

const (
	RefuseOurs    Refusal = "it is an address of this server"
	RefuseNoHost  Refusal = "it names no single host"
	RefusePrivate Refusal = "it is not a public address"
)

// Rule says which addresses may be dialled. The zero Rule admits the public
// addresses only.
type Rule struct {
	Own []netip.Addr // never dialled, whatever Allow says
	// Allow lists networks that may be dialled though they are not public. An IPv4
	// network does not cover the IPv6 addresses that stand for it.
	Allow []netip.Prefix
}

// Check decides about one address: what is not admitted is refused.
func (r Rule) Check(ip netip.Addr) Refusal {
	switch {
	case !ip.IsValid() || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() || ip == broadcast():
		return RefuseNoHost
	case ip.Is4In6():
		// No honest record holds an IPv4 address in the form of IPv6.
		return RefusePrivate
	case r.ours(ip):
		return RefuseOurs
	case slices.ContainsFunc(r.Allow, func(p netip.Prefix) bool { return p.Contains(ip) }), public(ip):
		return ""
	}
	return RefusePrivate
}

// ours compares what two notations of one address have in common.
func (r Rule) ours(ip netip.Addr) bool {
	return slices.ContainsFunc(r.Own, func(own netip.Addr) bool { return own.Unmap().WithZone("") == ip })
}

func broadcast() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

// public reports whether ip is allocated to hosts of the Internet at large, by the
// IANA registries: IPv4 unicast and IPv6 2000::/3, without what the Special-Purpose
// Address Registries (RFC 6890) take out of them.
func public(ip netip.Addr) bool {
	space, special := unicast6(), special6()
	if ip.Is4() {
		space, special = unicast4(), special4()
	}
	within := func(p netip.Prefix) bool { return p.Contains(ip) }
	return slices.ContainsFunc(space, within) && !slices.ContainsFunc(special, within)
}

// unicast4 is IPv4 without 0/8 and without 224/3, which is multicast and reserved.
func unicast4() []netip.Prefix {
	return []netip.Prefix{
		four(1, 0, 0, 0, 8), four(2, 0, 0, 0, 7), four(4, 0, 0, 0, 6), four(8, 0, 0, 0, 5), four(16, 0, 0, 0, 4),
		four(32, 0, 0, 0, 3), four(64, 0, 0, 0, 2), four(128, 0, 0, 0, 2), four(192, 0, 0, 0, 3),
	}
}

func special4() []netip.Prefix {
	return []netip.Prefix{
		four(10, 0, 0, 0, 8),      // private, RFC 1918
		four(100, 64, 0, 0, 10),   // shared by carriers, RFC 6598
		four(127, 0, 0, 0, 8),     // loopback, RFC 1122 §3.2.1.3
		four(169, 254, 0, 0, 16),  // link-local, RFC 3927
		four(172, 16, 0, 0, 12),   // private, RFC 1918
		four(192, 0, 0, 0, 24),    // protocol assignments, RFC 6890
		four(192, 0, 2, 0, 24),    // documentation, RFC 5737
		four(192, 88, 99, 0, 24),  // relays of 6to4, RFC 7526
		four(192, 168, 0, 0, 16),  // private, RFC 1918
		four(198, 18, 0, 0, 15),   // benchmarks, RFC 2544
		four(198, 51, 100, 0, 24), // documentation, RFC 5737
		four(203, 0, 113, 0, 24),  // documentation, RFC 5737
	}
}

// unicast6 is the only part of IPv6 from which addresses are given out. RFC 4291
// §2.4. The prefixes of NAT64 are not in it: what they lead to can't be seen, and
// an administrator who needs one lists it.
func unicast6() []netip.Prefix { return []netip.Prefix{six(0x2000, 0, 3)} }

func special6() []netip.Prefix {
	return []netip.Prefix{
		six(0x2001, 0, 23),     // protocol assignments, RFC 2928: Teredo, ORCHID, benchmarks
		six(0x2001, 0xdb8, 32), // documentation, RFC 3849
		six(0x2002, 0, 16),     // 6to4, RFC 3056: holds any IPv4 address
		six(0x3fff, 0, 20),     // documentation, RFC 9637
	}
}

func four(a, b, c, d byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits)
}

func six(first, second uint16, bits int) netip.Prefix {
	ip := [16]byte{byte(first >> 8), byte(first), byte(second >> 8), byte(second)}
	return netip.PrefixFrom(netip.AddrFrom16(ip), bits)
}
