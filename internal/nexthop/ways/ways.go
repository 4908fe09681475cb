// Package ways holds every way by which mail leaves this host, for one state of the configuration:
// the routes, the servers behind us with what verifies their recipients, and the mail exchangers
// of everybody else.
//
// It promises that a state is made whole or not at all, that it takes over from the one
// before it what need not change, with its connections and all that was learnt, and that a
// delivery under way survives the end of its state.
package ways

import (
	"context"
	"errors"
	"io"

	"sallyport/internal/callout"
	"sallyport/internal/directory"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/mx"
	"sallyport/internal/nexthop/named"
	"sallyport/internal/nexthop/token"
)

// Options say which ways there are.
type Options struct {
	named.Means // by which next hops that the administrator named are reached; Build sets Tokens
	Tokens      token.Means
	Routes      []named.Entry[directory.Route]
	Servers     []named.Entry[directory.Server] // behind us
	// Other is the place of a server behind us that is not among Servers: its domain was
	// added at run time.
	Other    func(directory.Server) named.Place
	Callouts callout.Limits
	Journal  callout.Journal // of what is asked
	Rand     io.Reader
	// Exchangers reach who has no route. Build sets their Resolver.
	Exchangers mx.ExchangersOptions
	// Resolver makes what finds exchangers; it is asked only where new ones are made.
	Resolver func() (dnsx.Resolver, error)
}

// By these names a *named.Fault speaks of what is not the fault of one next hop.
const (
	NameCallouts = "callout" // the bounds of what is asked
	NameResolver = "mx.dns"  // the servers that know exchangers
)

// Ways are those of one state of the configuration. They never change. Of nil, from before
// the first state, only Exchangers and Retire may be called.
type Ways struct {
	tokens     *token.Sources
	routes     *named.Set[directory.Route]
	servers    *named.Set[directory.Server]
	callouts   *callout.Asker
	exchangers *mx.Exchangers
}

// Build makes the ways. Of last, which is nil at the start, it keeps what would be made in
// the same way. The error joins all that is wrong, with a *named.Fault for each next hop
// that has one, and then nothing is left of what was made.
func Build(ctx context.Context, o Options, last *Ways) (*Ways, error) {
	if last == nil {
		last = &Ways{}
	}
	w := &Ways{tokens: token.NewSources(o.Tokens, last.tokens)}
	o.Means.Tokens = w.tokens.Of
	var errs [4]error
	w.routes, errs[0] = named.Build(named.SetOptions[directory.Route]{
		Means: o.Means, Entries: o.Routes, Missing: mail.R(451, "4.4.4", "the route is not configured any more"),
	}, last.routes)
	w.exchangers, errs[1] = exchangers(ctx, o, last.exchangers)
	w.servers, errs[2] = named.Build(named.SetOptions[directory.Server]{
		Means: o.Means, Entries: o.Servers, Other: o.Other,
		Missing: mail.R(451, "4.3.5", "the server behind this domain cannot be used as it is configured"),
	}, last.servers)
	var err error
	w.callouts, err = callout.Build(callout.Options{Limits: o.Callouts, Now: o.Now, Rand: o.Rand, Logger: o.Logger, Journal: o.Journal}, last.callouts)
	if err != nil {
		errs[3] = &named.Fault{Name: NameCallouts, Err: err}
	}
	if err := errors.Join(errs[:]...); err != nil {
		w.Retire(last)
		return nil, err
	}
	return w, nil
}

// exchangers makes the way to mail exchangers, or keeps the one that would be the same.
func exchangers(ctx context.Context, o Options, last *mx.Exchangers) (_ *mx.Exchangers, err error) {
	if last.Is(o.Exchangers.Made) {
		return last, nil
	}
	e := o.Exchangers
	if e.Delivery {
		if e.Resolver, err = o.Resolver(); err != nil {
			return nil, &named.Fault{Name: NameResolver, Err: err}
		}
	}
	return mx.Build(ctx, e)
}

// Exchangers returns the way to those who have no route.
func (w *Ways) Exchangers() *mx.Exchangers {
	if w == nil {
		return nil
	}
	return w.exchangers
}

// Troubles are the endpoints that give no token, or none that is taken.
func (w *Ways) Troubles() []token.Trouble {
	if w == nil {
		return nil
	}
	return w.tokens.Troubles()
}

// Wake has what leaves by each way try to connect, also where that failed just now.
func (w *Ways) Wake() {
	if w == nil {
		return
	}
	w.routes.Wake()
	w.servers.Wake()
	w.exchangers.Wake()
}

// Callouts returns what asks servers behind us.
func (w *Ways) Callouts() *callout.Asker { return w.callouts }

// Retire ends the ways that heir, which may be nil, does not have. Deliveries under way go
// on, and their connections end with them.
func (w *Ways) Retire(heir *Ways) {
	if w == nil {
		return
	}
	if heir == nil {
		heir = &Ways{}
	}
	w.routes.Retire(heir.routes)
	w.exchangers.Retire(heir.exchangers)
	w.servers.Retire(heir.servers)
}

// Current returns the ways in force. Whoever sends mail takes them anew for each message.
type Current func() *Ways

// Route returns the way of a route; one that is not there any more defers.
func (c Current) Route(r directory.Route) nexthop.Target { return c().routes.Target(r) }

// Server returns the way to a server behind us.
func (c Current) Server(s directory.Server) nexthop.Target { return c.Behind().Target(s) }

// Exchanger returns where mail for an address goes that no route leads to; false when it
// may only wait.
func (c Current) Exchanger(a mail.Address) (nexthop.Target, bool) { return c().exchangers.Target(a) }

// Behind returns the servers behind us, and who asks them.
func (c Current) Behind() callout.Servers {
	return callout.Servers{InForce: func() (*named.Set[directory.Server], *callout.Asker) {
		w := c()
		return w.servers, w.callouts
	}}
}

// Run keeps what is known of other domains fresh, one state after the other, until ctx ends.
func (c Current) Run(ctx context.Context) {
	for ctx.Err() == nil {
		c().Exchangers().Run(ctx)
	}
}
