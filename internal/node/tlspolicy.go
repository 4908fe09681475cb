package node

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"

	"sallyport/internal/deliver/mx"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/tlspolicy/mtasts"
	"sallyport/internal/tlspolicy/tlsrpt"
)

// policies is what is known of other domains' TLS policies. The zero policies obeys
// none.
type policies struct {
	roots   *x509.CertPool
	sts     *mtasts.Keeper
	dane    bool
	fetcher mtasts.Fetcher
	results *tlsrpt.Collector // nil: nobody answers for reports
}

// openPolicies opens the policies that the store keeps.
func (n *Node) openPolicies(ctx context.Context, r dnsx.Resolver) (p policies, err error) {
	c := n.cfg.TLSPolicy
	if p.roots, err = loadRoots(c.CA); err != nil {
		return p, fmt.Errorf("%s: %w", n.cfg.At("tls_policy.ca"), err)
	}
	p.dane = c.DANE
	limits := mtasts.DefaultLimits()
	p.fetcher = mtasts.Fetcher{
		Resolver: r, Admit: n.admitted, Roots: p.roots, Port: n.o.PolicyPort, Addresses: limits.Addresses,
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return n.o.Dial(ctx, "tcp", to.String())
		},
	}
	if !c.ReportAccount.IsZero() {
		p.results = tlsrpt.NewCollector(n.store, tlsrpt.DefaultLimits(), n.o.Now, n.log)
	}
	if !c.STS {
		return p, nil
	}
	p.sts, err = mtasts.New(ctx, mtasts.Options{Resolver: r, Fetch: p.fetcher.Fetch, Store: n.store, Limits: limits, Now: n.o.Now, Logger: n.log})
	return p, err
}

// admitted says why a web server of somebody else's is not dialled: by the same rule
// as mail exchangers.
func (n *Node) admitted(ip netip.Addr) string {
	rule := mx.Rule{Own: ownAddresses(n.cfg, n.o), Allow: n.cfg.MX.Private}
	return string(rule.Check(ip))
}

// obeyed puts the policies into the options of the way to mail exchangers.
func (p policies) obeyed(o *mx.Options) {
	o.Roots, o.DANE = p.roots, p.dane
	if p.results != nil {
		o.Report = p.results.Add
	}
	if p.sts != nil {
		o.STS = func(ctx context.Context, d mail.Domain) mtasts.Found { return p.sts.Policy(ctx, d) }
	}
}

// refreshPolicies keeps what is known of other domains' policies fresh.
func (n *Node) refreshPolicies(ctx context.Context) {
	if n.world.policies.sts != nil {
		_ = n.world.policies.sts.Run(ctx) // it ends with ctx alone
	}
}
