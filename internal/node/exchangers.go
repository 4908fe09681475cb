package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/kit/pki"
	"sallyport/internal/nexthop/mx"
)

// buildExchangers makes the way to mail exchangers, or takes over the one that would be the
// same, with all that it has learnt.
func (n *Node) buildExchangers(ctx context.Context, next, last *generation) error {
	cfg, o := next.cfg, n.o
	roots, pem, err := pki.Authorities(cfg.TLSPolicy.CA)
	if err != nil {
		return cfg.Fault("tls_policy.ca", err.Error(), "")
	}
	made := fmt.Sprintf("%+v %+v %s %v %d %q", cfg.MX, cfg.TLSPolicy, cfg.Hostname, cfg.Literals, cfg.Limits.DeliveriesPerDomain, pem)
	if last != nil && last.exchangers.Is(made) {
		next.exchangers = last.exchangers
		return nil
	}
	var resolver dnsx.Resolver
	if cfg.MX.Delivery {
		if resolver, err = newResolver(cfg, o); err != nil {
			return cfg.Fault("mx.dns", err.Error(), "")
		}
	}
	limits := mx.DefaultLimits()
	limits.Connections = cfg.Limits.DeliveriesPerDomain
	limits.Start = min(limits.Start, limits.Connections)
	next.exchangers, err = mx.Build(ctx, mx.ExchangersOptions{
		Made: made, Delivery: cfg.MX.Delivery, MTASTS: cfg.TLSPolicy.STS, Store: n.store, PolicyPort: o.PolicyPort,
		Options: mx.Options{
			Hello: cfg.Hostname, Resolver: resolver, Own: func() []netip.Addr { return mx.OwnAddresses(cfg.Literals, o.Logger) },
			AllowPrivate: cfg.MX.Private, Port: o.MXPort,
			Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) { return o.Dial(ctx, "tcp", to.String()) },
			DANE: cfg.TLSPolicy.DANE, Roots: roots, Report: n.tlsResults.Add,
			Limits: limits, Now: o.Now, Logger: o.Logger,
		},
	})
	return err
}

// runExchangers keeps what is known of other domains fresh, one generation after the other.
func (n *Node) runExchangers(ctx context.Context) {
	for ctx.Err() == nil {
		n.now().exchangers.Run(ctx)
	}
}

func newResolver(cfg config.Config, o Options) (dnsx.Resolver, error) {
	if o.Resolver != nil {
		return o.Resolver, nil
	}
	return dnsx.System(cfg.MX.DNS, cfg.TLSPolicy.Validated, o.Now)
}
