package node

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"sallyport/internal/callout"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/named"
	smtpclient "sallyport/internal/smtp/client"
)

// buildRoutes makes the way to each configured route.
func (n *Node) buildRoutes(_ context.Context, next, last *generation) (err error) {
	if last == nil {
		last = &generation{}
	}
	o := named.SetOptions[directory.Route]{Means: n.means(next.cfg), Missing: mail.R(451, "4.4.4", "the route is not configured any more")}
	for _, r := range next.cfg.Routes {
		o.Entries = append(o.Entries, named.Entry[directory.Route]{Key: r.Route, Name: "route." + r.Name(), Place: placeOfRoute(r)})
	}
	next.routes, err = named.Build(o, last.routes)
	return faultsOfSet(next.cfg, ".to", err)
}

// buildServers makes the way to each server behind us. One of a domain that was added
// with a command is made when it is used.
func (n *Node) buildServers(_ context.Context, next, last *generation) (err error) {
	if last == nil {
		last = &generation{}
	}
	o := named.SetOptions[directory.Server]{
		Means: n.means(next.cfg), Missing: mail.R(451, "4.3.5", "the server behind this domain cannot be used as it is configured"),
		Other: func(s directory.Server) named.Place { return placeOfServer(s, next.cfg) },
	}
	for _, d := range next.cfg.Domains {
		if d.Deliver.Behind() {
			s := d.Directory().Server
			o.Entries = append(o.Entries, named.Entry[directory.Server]{Key: s, Name: "domain." + d.Name.ASCII(), Place: placeOfServer(s, next.cfg)})
		}
	}
	next.servers, err = named.Build(o, last.servers)
	return faultsOfSet(next.cfg, ".deliver", err)
}

// faultsOfSet says where each fault of a set stands.
func faultsOfSet(cfg config.Config, key string, err error) error {
	return eachFault(err, func(f *named.Fault) error {
		if errors.Is(f, named.ErrAuthorities) {
			return cfg.Fault(f.Name+".ca", f.Err.Error(), "")
		}
		return cfg.Fault(f.Name+key, f.Err.Error(), "")
	})
}

func (n *Node) means(cfg config.Config) named.Means {
	return named.Means{
		Hello: cfg.Hostname, Dial: n.o.Dial, Timeouts: smtpclient.DefaultTimeouts(), SMTP: smtpclient.DefaultLimits(), Now: n.o.Now, Logger: n.o.Logger,
	}
}

func placeOfRoute(r config.Route) named.Place {
	l := named.DefaultLimits()
	l.Connections, l.Messages = r.Connections, r.Messages
	return named.Place{
		Network: "tcp", Address: net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port))), Host: r.Host, TLS: r.TLS, CA: r.CA,
		User: r.User, PasswordFile: r.PasswordFile, Limits: l,
	}
}

// placeOfServer has the limits of the first domain with the server behind it; a domain
// that was added with a command has the defaults.
func placeOfServer(s directory.Server, cfg config.Config) named.Place {
	l := named.DefaultServerLimits()
	l.Questions = cfg.Callout.Connections
	for _, d := range cfg.Domains {
		if d.Deliver.Behind() && d.Directory().Server == s {
			l.Connections, l.Messages = d.Connections, d.Messages
			break
		}
	}
	p := named.Place{Ours: true, LMTP: s.LMTP, Network: "tcp", Address: s.String(), Host: s.Host, TLS: s.TLS, CA: s.CA, Limits: l}
	if s.Path != "" {
		p.Network, p.Host = "unix", "localhost"
	}
	return p
}

// routeTarget returns the way of a route as it stands now.
func (n *Node) routeTarget(r directory.Route) nexthop.Target { return n.now().routes.Target(r) }

// serverTarget returns the way to a server behind us as it stands now; what that refuses
// is not known to be taken any more.
func (n *Node) serverTarget(s directory.Server) nexthop.Target {
	g := n.now()
	return g.callouts.Learning(s.String(), g.servers.Target(s))
}

// behind asks the servers behind us as they stand now.
type behind struct{ n *Node }

// Ask implements intake.Recipients.
func (b behind) Ask(ctx context.Context, client netip.Addr, d directory.Domain, a mail.Address) callout.Answer {
	g := b.n.now()
	t, err := g.servers.Find(d.Server)
	if err != nil {
		return callout.Answer{Why: err.Error()}
	}
	return g.callouts.Ask(ctx, d.Server.String(), t, client, a)
}

// Offer implements intake.Offers.
func (b behind) Offer(ctx context.Context, s directory.Server, j nexthop.Job) []mail.Outcome {
	return b.n.serverTarget(s).Deliver(ctx, j)
}

// International implements intake.International.
func (b behind) International(ctx context.Context, d directory.Domain, a mail.Address) (takes, known bool) {
	t, err := b.n.now().servers.Find(d.Server)
	if err != nil {
		return false, false
	}
	return t.International(ctx, a)
}

// loadRoots reads the authorities of a file; nil, for the system's, where there is
// none.
func loadRoots(file string) (pool *x509.CertPool, pem []byte, err error) {
	if file == "" {
		return nil, nil, nil
	}
	if pem, err = os.ReadFile(file); err != nil {
		return nil, nil, err
	}
	pool = x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, pem, nil
}
