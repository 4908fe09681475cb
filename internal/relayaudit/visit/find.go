package visit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/relayaudit/consent"
	"sallyport/internal/relayaudit/verdict"
)

// maxAddresses bounds the addresses of one name that are audited.
const maxAddresses = 8

// Finder finds out where a target is, and whether it may be audited.
type Finder struct {
	DNS    dnsx.Resolver
	System bool // names are looked up as this system does, with its hosts file
	Now    func() time.Time
}

// Subject returns the server of a target. The error is a *consent.Refusal where nobody is known
// to consent. What was asked for consent is an address, and that address is what is audited.
func (f *Finder) Subject(ctx context.Context, t Target) (Subject, error) {
	at, err := f.addresses(ctx, t)
	if err != nil {
		return Subject{}, err
	}
	s := Subject{Asked: t.Asked, Host: t.Host, Doors: t.Endpoints(at)}
	for _, ip := range at {
		if err := consent.Ask(ctx, f.DNS, ip, f.Now()); err != nil {
			return Subject{}, err
		}
		if names, err := f.DNS.Pointers(ctx, ip); err == nil && !ip.IsLoopback() {
			for _, n := range names.Data {
				s.Reverse = append(s.Reverse, n.String())
			}
		}
	}
	return s, nil
}

func (f *Finder) addresses(ctx context.Context, t Target) (at []netip.Addr, err error) {
	if t.IP.IsValid() {
		return []netip.Addr{t.IP}, nil
	}
	if f.System {
		at, err = net.DefaultResolver.LookupNetIP(ctx, "ip", t.Host)
	} else {
		var n dnsx.Name
		if n, err = dnsx.ParseName(t.Host); err == nil {
			var a dnsx.Answer[netip.Addr]
			a, err = f.DNS.Addresses(ctx, n)
			at = a.Data
		}
	}
	if err != nil {
		return nil, fmt.Errorf("its address: %w", err)
	}
	for i, ip := range at {
		at[i] = ip.Unmap()
	}
	slices.SortFunc(at, netip.Addr.Compare) // IPv4 first
	at = slices.Compact(at)
	return at[:min(len(at), maxAddresses)], nil
}

// Refused is a server that was not audited, and why.
func Refused(t Target, err error) verdict.Server {
	s := verdict.Server{Asked: t.Asked, Refused: mail.Shown(err.Error())}
	var r *consent.Refusal
	if errors.As(err, &r) {
		s.Advice = r.Advice
	}
	return s
}
