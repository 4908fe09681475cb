package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/mx"
	smtpclient "sallyport/internal/smtp/client"
)

// buildWorld makes the way to mail exchangers, or takes over the one that would be the
// same, with all that it has learnt.
func (n *Node) buildWorld(ctx context.Context, next, last *generation) error {
	cfg, o := next.cfg, n.o
	roots, pem, err := loadRoots(cfg.TLSPolicy.CA)
	if err != nil {
		return cfg.Fault("tls_policy.ca", err.Error(), "")
	}
	made := fmt.Sprintf("%+v %+v %s %v %d %q", cfg.MX, cfg.TLSPolicy, cfg.Hostname, cfg.Literals, cfg.Limits.DeliveriesPerDomain, pem)
	if last != nil && last.world.Is(made) {
		next.world = last.world
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
	next.world, err = mx.Build(ctx, mx.WorldOptions{
		Made: made, Delivery: cfg.MX.Delivery, MTASTS: cfg.TLSPolicy.STS, Store: n.store, PolicyPort: o.PolicyPort,
		Options: mx.Options{
			Hello: cfg.Hostname, Resolver: resolver, Own: func() []netip.Addr { return mx.OwnAddresses(cfg.Literals, o.Logger) },
			AllowPrivate: cfg.MX.Private, Port: o.MXPort,
			Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
				return o.Dial(ctx, "tcp", to.String())
			},
			DANE: cfg.TLSPolicy.DANE, Roots: roots, Report: n.tlsResults.Add,
			Timeouts: smtpclient.DefaultTimeouts(), SMTP: smtpclient.DefaultLimits(), Limits: limits, Now: o.Now, Logger: o.Logger,
		},
	})
	return err
}

// worldTarget returns where mail goes that no route leads to, as it stands now.
func (n *Node) worldTarget(a mail.Address) (nexthop.Target, bool) { return n.now().world.Target(a) }

// runWorld keeps what is known of the world fresh, one generation after the other.
func (n *Node) runWorld(ctx context.Context) {
	for ctx.Err() == nil {
		n.now().world.Run(ctx)
	}
}

func newResolver(cfg config.Config, o Options) (dnsx.Resolver, error) {
	if o.Resolver != nil {
		return o.Resolver, nil
	}
	return dnsx.System(cfg.MX.DNS, cfg.TLSPolicy.Validated, o.Now)
}
