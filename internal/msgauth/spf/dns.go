package spf

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
)

// FromDNS returns a Resolver that asks r. A name that r cannot be asked for, with
// characters that no host name has, counts as one that does not exist: macros make
// such names of what strangers write.
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
	n, err := dnsx.ParseName(text)
	if err != nil {
		return n, fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return n, nil
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

// Addresses asks for the addresses of one family.
func (r resolver) Addresses(ctx context.Context, name string, ip6 bool) ([]netip.Addr, error) {
	n, err := parseName(name)
	if err != nil {
		return nil, err
	}
	a, err := r.dns.Addresses(ctx, n)
	if err != nil {
		return nil, absent(err)
	}
	found := slices.DeleteFunc(slices.Clone(a.Data), func(ip netip.Addr) bool { return ip.Is6() != ip6 })
	if len(found) == 0 {
		return nil, ErrAbsent
	}
	return found, nil
}

// MX asks for the names of the mail exchangers.
func (r resolver) MX(ctx context.Context, name string) ([]string, error) {
	d, err := mail.ParseDomain(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	a, err := r.dns.MX(ctx, d)
	if err != nil {
		return nil, absent(err)
	}
	all := slices.SortedStableFunc(slices.Values(a.Data), func(x, y dnsx.MX) int { return cmp.Compare(x.Preference, y.Preference) })
	var names []string
	for _, m := range all {
		if !m.Host.IsZero() {
			names = append(names, m.Host.String())
		}
	}
	if len(names) == 0 {
		return nil, ErrAbsent // a null MX, or names that no host has
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
		names = append(names, n.String())
	}
	return names, nil
}
