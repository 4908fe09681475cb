package trust

import (
	"fmt"
	"net/netip"
	"slices"

	"sallyport/internal/mail"
)

// Network is a network of devices, and the account as which it signs in.
type Network struct {
	Name    string
	From    []netip.Prefix
	Account mail.Address
}

// Table finds the network of an address. The zero Table has none. It is not changed once it
// was made.
type Table struct {
	networks []Network
	spans    []span // by their first address; none overlaps with another
}

// span is one prefix of a network.
type span struct {
	prefix  netip.Prefix
	network int
}

// OverlapError is that an address would belong to two networks, or twice to one.
type OverlapError struct {
	Name, Other string
	Prefix      netip.Prefix // of Name
}

// Error implements error.
func (e *OverlapError) Error() string {
	return fmt.Sprintf("%s of the network %s lies within the network %s as well", e.Prefix, e.Name, e.Other)
}

// NewTable returns the table of networks, of which none may overlap with another.
func NewTable(networks []Network) (*Table, error) {
	t := &Table{networks: slices.Clone(networks)}
	for i, n := range networks {
		for _, p := range n.From {
			t.spans = append(t.spans, span{plain(p), i})
		}
	}
	slices.SortStableFunc(t.spans, func(a, b span) int { return a.prefix.Addr().Compare(b.prefix.Addr()) })
	for i := 1; i < len(t.spans); i++ {
		if a, b := t.spans[i-1], t.spans[i]; a.prefix.Overlaps(b.prefix) {
			return nil, &OverlapError{networks[b.network].Name, networks[a.network].Name, b.prefix}
		}
	}
	return t, nil
}

// mappedBits stand before an address of IPv4 that is written as one of IPv6. RFC 4291 §2.5.5.2.
const mappedBits = 96

// plain writes a prefix without bits behind it, and one of mapped addresses as one of IPv4.
func plain(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= mappedBits {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-mappedBits)
	}
	return p.Masked()
}

// Networks returns all networks, in the order in which they were given.
func (t *Table) Networks() []Network {
	if t == nil {
		return nil
	}
	return slices.Clone(t.networks)
}

// Of returns the network that an address lies in; false: in none. Whether it counts Judge says.
func (t *Table) Of(a netip.Addr) (Network, bool) {
	if t == nil || !a.IsValid() || a.Zone() != "" {
		return Network{}, false
	}
	a = a.Unmap()
	i, found := slices.BinarySearchFunc(t.spans, a, func(s span, a netip.Addr) int { return s.prefix.Addr().Compare(a) })
	if !found {
		i--
	}
	if i < 0 || !t.spans[i].prefix.Contains(a) {
		return Network{}, false
	}
	return t.networks[t.spans[i].network], true
}
