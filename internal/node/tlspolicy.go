package node

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"sync"

	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop/mx"
	"sallyport/internal/tlspolicy"
	"sallyport/internal/tlspolicy/mtasts"
)

// policies is what is known of other domains' TLS policies. The zero policies obeys
// none.
type policies struct {
	roots   *x509.CertPool
	sts     *mtasts.Keeper
	dane    bool
	fetcher mtasts.Fetcher
	report  func(tlspolicy.Session)
}

// openPolicies opens the policies that the store keeps.
func (n *Node) openPolicies(ctx context.Context, cfg config.Config, r dnsx.Resolver, roots *x509.CertPool) (p policies, err error) {
	p.roots, p.dane = roots, cfg.TLSPolicy.DANE
	limits := mtasts.DefaultLimits()
	p.fetcher = mtasts.Fetcher{
		Resolver: r, Admit: func(ip netip.Addr) string { return n.admitted(cfg, ip) }, Roots: p.roots, Port: n.o.PolicyPort, Addresses: limits.Addresses,
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return n.o.Dial(ctx, "tcp", to.String())
		},
	}
	p.report = n.tlsResults.Add
	if !cfg.TLSPolicy.STS {
		return p, nil
	}
	p.sts, err = mtasts.New(ctx, mtasts.Options{Resolver: r, Fetch: p.fetcher.Fetch, Store: n.store, Limits: limits, Now: n.o.Now, Logger: n.log})
	return p, err
}

// admitted says why a web server of somebody else's is not dialled: by the same rule
// as mail exchangers.
func (n *Node) admitted(cfg config.Config, ip netip.Addr) string {
	rule := mx.Rule{Own: ownAddresses(cfg, n.o), Allow: cfg.MX.Private}
	return string(rule.Check(ip))
}

// obeyed puts the policies into the options of the way to mail exchangers.
func (p policies) obeyed(o *mx.Options) {
	o.Roots, o.DANE, o.Report = p.roots, p.dane, p.report
	if p.sts != nil {
		o.STS = func(ctx context.Context, d mail.Domain) mtasts.Found { return p.sts.Policy(ctx, d) }
	}
}

// refreshPolicies keeps what is known of other domains' policies fresh.
func (n *Node) refreshPolicies(ctx context.Context) {
	n.followWorld(ctx, func(ctx context.Context, g *generation) {
		if g.world.policies.sts != nil {
			_ = g.world.policies.sts.Run(ctx) // it ends with ctx alone
		}
	})
}

// followWorld runs what belongs to the way to mail exchangers, one generation of it
// after the other, until ctx ends. run may end before.
func (n *Node) followWorld(ctx context.Context, run func(context.Context, *generation)) {
	for ctx.Err() == nil {
		g := n.now()
		inner, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { run(inner, g) })
		select {
		case <-ctx.Done():
		case <-g.world.gone:
		}
		stop()
		running.Wait()
	}
}
