package node

import (
	"context"
	"errors"

	"sallyport/internal/callout"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop/named"
)

// buildRoutes makes the way to each configured route.
func (n *Node) buildRoutes(_ context.Context, next, last *generation) (err error) {
	if last == nil {
		last = &generation{}
	}
	o := named.SetOptions[directory.Route]{Means: n.means(next.cfg), Missing: mail.R(451, "4.4.4", "the route is not configured any more")}
	for _, r := range next.cfg.Routes {
		l := named.DefaultLimits()
		l.Connections, l.Messages = r.Connections, r.Messages
		o.Entries = append(o.Entries, named.Entry[directory.Route]{Key: r.Route, Name: "route." + r.Name(), Place: named.RoutePlace(r.Route, l)})
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
	return named.DefaultMeans(cfg.Hostname, n.o.Dial, n.o.Now, n.o.Logger)
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
	return named.ServerPlace(s, l)
}

// behind are the servers behind us as they stand now.
func (n *Node) behind() callout.Servers {
	return callout.Servers{InForce: func() (*named.Set[directory.Server], *callout.Asker) {
		g := n.now()
		return g.servers, g.callouts
	}}
}

// buildCallouts makes what asks servers behind us about recipients.
func (n *Node) buildCallouts(_ context.Context, next, last *generation) (err error) {
	if last == nil {
		last = &generation{}
	}
	c, l := next.cfg.Callout, callout.DefaultLimits()
	l.Timeout, l.PositiveTTL, l.Grace, l.NegativeTTL = c.Timeout, c.PositiveTTL, c.Grace, c.NegativeTTL
	l.Entries, l.Rate, l.Waiting = c.Entries, c.Rate, c.Waiting
	next.callouts, err = callout.Build(callout.Options{Limits: l, Now: n.o.Now, Rand: n.o.Rand, Logger: n.log, Journal: n.trace}, last.callouts)
	if err != nil {
		return next.cfg.Fault("callout", err.Error(), "")
	}
	return nil
}
