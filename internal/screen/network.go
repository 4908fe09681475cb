package screen

import "net/netip"

const (
	// NetworkBits4 is the prefix of IPv4 that counts as one network: what one
	// site or one small hoster usually has.
	NetworkBits4 = 24
	// NetworkBits6 is the prefix of IPv6 that counts as one network: what a
	// provider hands to one customer at most. RFC 6177 §2.
	NetworkBits6 = 48
)

// Network returns the network that an address counts for. IPv4 in IPv6 counts as
// IPv4, and a zone is ignored. All invalid addresses share the zero Prefix.
func Network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := NetworkBits6
	if a.Is4() {
		bits = NetworkBits4
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
