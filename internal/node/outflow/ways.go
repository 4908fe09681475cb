package outflow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"sallyport/internal/callout"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/dnsx"
	"sallyport/internal/kit/pki"
	"sallyport/internal/nexthop/mx"
	"sallyport/internal/nexthop/named"
	"sallyport/internal/nexthop/ways"
	"sallyport/internal/node/settings"
)

// The names of next hops begin so: they are the heads of the tables that name them.
const (
	ofRoute  = "route."
	ofDomain = "domain."
)

// wayOptions are the ways that mail takes, for lack of a Journal, a Store, Report and who is told of
// tokens. The error is that of a file of authorities.
func wayOptions(cfg config.Config, w settings.World) (o ways.Options, err error) {
	o.Means, o.Rand = named.DefaultMeans(cfg.Hostname, w.Dial, w.Now, w.Logger), w.Rand
	o.Lookup = w.Lookup
	o.Resolver = func() (dnsx.Resolver, error) { return settings.Resolver(cfg, w) }
	for _, r := range cfg.Routes {
		l := named.DefaultLimits()
		l.Connections, l.Messages = r.Connections, r.Messages
		p := named.RoutePlace(r.Route, l)
		p.Token, p.Cert, p.CertKey = settings.TokenEndpoint(r.Token), r.Cert, r.CertKey
		for _, h := range r.Others {
			p.Others += " " + net.JoinHostPort(h.Host, strconv.Itoa(int(h.Port)))
		}
		o.Routes = append(o.Routes, named.Entry[directory.Route]{Key: r.Route, Name: ofRoute + r.Name(), Place: p})
	}
	for _, d := range cfg.Domains {
		if d.Deliver.Behind() {
			s := d.Directory().Server
			o.Servers = append(o.Servers, named.Entry[directory.Server]{
				Key: s, Name: ofDomain + d.Name.ASCII(), Place: serverPlace(cfg, s),
			})
		}
	}
	o.Other = func(s directory.Server) named.Place { return serverPlace(cfg, s) }
	o.Tokens = settings.TokenMeans(cfg, w)
	o.Callouts = callouts(cfg)
	o.Exchangers, err = exchangers(cfg, w)
	return o, err
}

// serverPlace has the limits of the first domain with the server behind it; a domain that was
// added with a command has the defaults.
func serverPlace(cfg config.Config, s directory.Server) named.Place {
	l := named.DefaultServerLimits()
	l.Questions = cfg.Callout.Connections
	for _, d := range cfg.Domains {
		if d.Deliver.Behind() && d.Directory().Server == s {
			l.Connections, l.Messages = d.Connections, d.Messages
			break
		}
	}
	return named.ServerPlace(s, l)
}

func callouts(cfg config.Config) callout.Limits {
	c, l := cfg.Callout, callout.DefaultLimits()
	l.Timeout, l.PositiveTTL, l.Grace, l.NegativeTTL = c.Timeout, c.PositiveTTL, c.Grace, c.NegativeTTL
	l.Entries, l.Rate, l.Waiting = c.Entries, c.Rate, c.Waiting
	return l
}

func exchangers(cfg config.Config, w settings.World) (o mx.ExchangersOptions, err error) {
	roots, pem, err := pki.Authorities(cfg.TLSPolicy.CA)
	if err != nil {
		return o, cfg.Fault("tls_policy.ca", err.Error(), "")
	}
	limits := mx.DefaultLimits()
	limits.Connections = cfg.Limits.DeliveriesPerDomain
	limits.Start = min(limits.Start, limits.Connections)
	return mx.ExchangersOptions{
		Made: fmt.Sprintf("%+v %+v %s %v %d %q", cfg.MX, cfg.TLSPolicy, cfg.Hostname, cfg.Literals,
			cfg.Limits.DeliveriesPerDomain, pem),
		Delivery: cfg.MX.Delivery, MTASTS: cfg.TLSPolicy.STS, PolicyPort: w.PolicyPort,
		Options: mx.Options{
			Hello: cfg.Hostname, Own: func() []netip.Addr { return mx.OwnAddresses(cfg.Literals, w.Logger) },
			AllowPrivate: cfg.MX.Private, Port: w.MXPort,
			Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) { return w.Dial(ctx, "tcp", to.String()) },
			DANE: cfg.TLSPolicy.DANE, Roots: roots, Limits: limits, Now: w.Now, Logger: w.Logger,
		},
	}, nil
}

// faultsOf says where each thing stands that is wrong with the ways.
func faultsOf(cfg config.Config, err error) error {
	return settings.Each(err, func(f *named.Fault) error {
		key := f.Name
		switch {
		case errors.Is(f, named.ErrAuthorities):
			key += ".ca"
		case strings.HasPrefix(key, ofRoute):
			key += ".to"
		case strings.HasPrefix(key, ofDomain):
			key += ".deliver"
		}
		return cfg.Fault(key, f.Err.Error(), "")
	})
}
