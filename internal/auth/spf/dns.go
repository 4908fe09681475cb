package spf

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"sallyport/internal/dnsx"
)

// FromDNS returns a Resolver that asks r. A name that is too long for the DNS, or has an
// empty label, does not exist; every other is asked for, whatever octets stand in it:
// macros make such names of what strangers write. RFC 7208 §7.1.
func FromDNS(r dnsx.Resolver) Resolver { return resolver{r} }

type resolver struct{ dns dnsx.Resolver }

// absent tells what the DNS states from a failure to find out.
func absent(err error) error {
	if err != nil && dnsx.Permanent(err) {
		return fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return err
}

func parseName(text string) (dnsx.Name, error) {
	n, err := dnsx.NameOfOctets(text)
	if err != nil {
		return n, fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return n, nil
}

// octets is a name as it is asked for again; "" for one that no text can stand for.
func octets(n dnsx.Name) string {
	s, _ := n.Octets()
	return s
}

// TXT asks for texts.
func (r resolver) TXT(ctx context.Context, name string) ([]string, error) {
	n, err := parseName(name)
	if err != nil {
		return nil, err
	}
	a, err := r.dns.TXT(ctx, n)
	return a.Data, absent(err)
}

// Addresses asks for the addresses of one family, and for those alone. RFC 7208 §5: a
// failure of the other decides nothing.
func (r resolver) Addresses(ctx context.Context, name string, ip6 bool) ([]netip.Addr, error) {
	n, err := parseName(name)
	if err != nil {
		return nil, err
	}
	family := dnsx.IPv4
	if ip6 {
		family = dnsx.IPv6
	}
	a, err := r.dns.OneFamily(ctx, n, family)
	return a.Data, absent(err)
}

// MX asks for the names of the mail exchangers. One of which no question can be made,
// as the root of a null MX, is a name all the same: it is an answer.
func (r resolver) MX(ctx context.Context, name string) ([]string, error) {
	n, err := parseName(name)
	if err != nil {
		return nil, err
	}
	a, err := r.dns.MX(ctx, n)
	if err != nil {
		return nil, absent(err)
	}
	all := slices.SortedStableFunc(slices.Values(a.Data), func(x, y dnsx.MX) int { return cmp.Compare(x.Preference, y.Preference) })
	var names []string
	for _, m := range all {
		host := m.Host
		if host.IsZero() {
			host = m.Odd
		}
		names = append(names, octets(host))
	}
	return names, nil
}

// PTR asks for the names of an address.
func (r resolver) PTR(ctx context.Context, ip netip.Addr) ([]string, error) {
	a, err := r.dns.Pointers(ctx, ip)
	if err != nil {
		return nil, absent(err)
	}
	var names []string
	for _, n := range a.Data {
		names = append(names, octets(n))
	}
	return names, nil
}
