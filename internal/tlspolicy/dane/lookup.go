package dane

import (
	"context"
	"errors"
	"net/netip"
	"strconv"

	"sallyport/internal/dnsx"
)

// Kind is what the DNS demands of the connection to a host. The zero Kind is
// undecided, and no Finding has it.
type Kind uint8

const (
	KindUndecided Kind = iota
	KindNone           // DANE does not apply
	KindVerify         // TLS with a certificate that the records name
	KindEncrypt        // there are records and none can be used: TLS with any. RFC 7672 §2.2
	KindUnknown        // the DNS does not tell: the host is not used now. RFC 7672 §2.1.2
)

// Finding is what Lookup found.
type Finding struct {
	Kind Kind
	Base dnsx.Name // whose records they are; it is also the name for SNI. RFC 7672 §8.1
	Set  Set       // for KindVerify
	Err  error     // for KindUnknown
}

// Lookup finds out whether TLSA records hold for a mail host whose addresses are
// known, at a port. That the host's name itself came securely is for the caller to
// have seen. RFC 7672 §2.2.2, §2.2.3.
func Lookup(ctx context.Context, r dnsx.Resolver, host dnsx.Name, addrs dnsx.Answer[netip.Addr], port uint16) Finding {
	bases, err := bases(ctx, r, host, addrs)
	if err != nil {
		return Finding{Kind: KindUnknown, Base: host, Err: err}
	}
	for _, base := range bases {
		n, err := base.Below("_" + strconv.Itoa(int(port)) + "._tcp")
		if err != nil {
			continue // longer than any name in the DNS: there is no such record
		}
		a, err := r.TLSA(ctx, n)
		switch {
		case err != nil && !dnsx.Permanent(err):
			return Finding{Kind: KindUnknown, Base: base, Err: err}
		case err != nil || !a.Secure:
			continue
		}
		if s := Usable(a.Data); s.Len() > 0 {
			return Finding{Kind: KindVerify, Base: base, Set: s}
		}
		return Finding{Kind: KindEncrypt, Base: base}
	}
	return Finding{Kind: KindNone}
}

// bases returns the names at which the records may stand, the best first. They are
// asked for only where the name is secure: servers of unsigned zones often fail at
// types that they do not know, and that must not hold mail up.
func bases(ctx context.Context, r dnsx.Resolver, host dnsx.Name, addrs dnsx.Answer[netip.Addr]) ([]dnsx.Name, error) {
	alias := !addrs.Name.IsZero() && addrs.Name != host
	switch {
	case addrs.Secure && alias:
		return []dnsx.Name{addrs.Name, host}, nil
	case addrs.Secure:
		return []dnsx.Name{host}, nil
	case !alias:
		return nil, nil
	}
	// The alias itself may be secure though it leads into a zone that is not.
	a, err := r.Alias(ctx, host)
	var q *dnsx.LookupError
	switch {
	case err == nil && a.Secure, errors.As(err, &q) && dnsx.Permanent(err) && q.Secure:
		return []dnsx.Name{host}, nil
	case err != nil && !dnsx.Permanent(err):
		return nil, err
	}
	return nil, nil
}
