package node

import (
	"context"
	"net/netip"
	"slices"

	"sallyport/internal/acme"
	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/tlspolicy/mtasts"
)

// moreNames are the names beside hostname that the certificate is to bear now: those of
// the configuration, and those under which our own policies are served.
func (n *Node) moreNames(ctx context.Context) []mail.Domain {
	cfg := n.config()
	all := slices.Clone(cfg.ACME.Names)
	if len(cfg.TLSPolicy.Listen) == 0 {
		return all
	}
	resolver, err := newResolver(cfg, n.o)
	if err != nil {
		n.log.Error("the names of policies cannot be looked up", "err", err)
		return all
	}
	names := policyNames{look: func(d mail.Domain) ([]netip.Addr, error) {
		ctx, cancel := context.WithTimeout(ctx, acme.DefaultLimits().Lookup)
		defer cancel()
		a, err := resolver.Addresses(ctx, dnsx.NameOf(d))
		if dnsx.Permanent(err) {
			return nil, nil
		}
		return a.Data, err
	}, borne: func(d mail.Domain) bool {
		leaf := n.leaf()
		return leaf != nil && leaf.VerifyHostname(d.ASCII()) == nil
	}}
	wanted := names.wanted(cfg, n.policyHosts())
	room := max(acme.DefaultLimits().Names-1-len(all), 0)
	if len(wanted) > room {
		n.log.Warn("a certificate bears no more names: some policies are served without one", "count", len(wanted)-room)
		wanted = wanted[:room]
	}
	return append(all, wanted...)
}

// policyHosts are the names under which the policies of our domains are served.
func (n *Node) policyHosts() (all []mail.Domain) {
	for _, d := range n.book.Snapshot().Domains() {
		if host, err := mail.ParseDomain(mtasts.Host + d.Name.ASCII()); err == nil {
			all = append(all, host)
		}
	}
	return all
}

// policyNames says which names of policies a certificate is to bear.
type policyNames struct {
	look  func(mail.Domain) ([]netip.Addr, error) // no address: the DNS says so
	borne func(mail.Domain) bool                  // by the certificate in force
}

// wanted returns the hosts that lead to where hostname leads, so that a name that nobody
// has set up does not keep the others from their certificate. While the DNS is silent
// those stay that the certificate bears already.
func (p policyNames) wanted(cfg config.Config, hosts []mail.Domain) (all []mail.Domain) {
	own, ownErr := p.look(cfg.Hostname)
	for _, host := range hosts {
		at, err := p.look(host)
		silent := err != nil || ownErr != nil
		if silent && p.borne(host) || !silent && sharesAddress(own, at) {
			all = append(all, host)
		}
	}
	return all
}

// sharesAddress reports whether two names lead to the same host.
func sharesAddress(a, b []netip.Addr) bool {
	return slices.ContainsFunc(a, func(at netip.Addr) bool { return slices.Contains(b, at) })
}
