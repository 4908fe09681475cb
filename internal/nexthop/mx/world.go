package mx

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/store"
	"sallyport/internal/tlspolicy/mtasts"
)

// WorldOptions are what a World is made of.
type WorldOptions struct {
	// Options are those of the targets; STS is set by Build, where MTASTS says so.
	Options
	// Made stands for all that the configuration says here: a World of the same is the same.
	Made string
	// Delivery: mail is delivered by exchangers at all; else everything that has no route
	// waits, and only Made is needed.
	Delivery bool
	// MTASTS: other domains' MTA-STS policies are obeyed, and kept in Store.
	MTASTS bool
	Store  store.Store
	// PolicyPort is that of web servers which strangers name: 443 in a server.
	// RFC 8461 §3.3
	PolicyPort uint16
}

// World reaches domains without a route by their mail exchangers, in one state of the
// configuration. With no targets, it reaches none; nil is such a World as well.
type World struct {
	made    string
	targets *Targets
	sts     *mtasts.Keeper // nil: no policy is obeyed
	web     mtasts.Fetcher
	gone    chan struct{} // closed when nothing is to be learnt any more
	end     func()        // closes it
}

// Build makes a World. It opens what the store keeps of policies, and connects to nothing.
func Build(ctx context.Context, o WorldOptions) (*World, error) {
	w := &World{made: o.Made, gone: make(chan struct{})}
	w.end = sync.OnceFunc(func() { close(w.gone) })
	if !o.Delivery {
		return w, nil
	}
	limits := mtasts.DefaultLimits()
	w.web = mtasts.Fetcher{
		Resolver: o.Resolver, Roots: o.Roots, Port: o.PolicyPort, Addresses: limits.Addresses, Dial: o.Dial,
		// A web server of somebody else's is dialled by the rule for exchangers.
		Admit: func(ip netip.Addr) string { return string(Rule{Own: o.Own(), Allow: o.AllowPrivate}.Check(ip)) },
	}
	var err error
	if o.MTASTS {
		w.sts, err = mtasts.New(ctx, mtasts.Options{Resolver: o.Resolver, Fetch: w.web.Fetch, Store: o.Store, Limits: limits, Now: o.Now, Logger: o.Logger})
		if err != nil {
			return nil, err
		}
		o.STS = w.Policy
	}
	w.targets, err = New(o.Options)
	return w, err
}

// Is reports whether Build would make w of what made stands for, so that w may stay, with
// all that it has learnt.
func (w *World) Is(made string) bool { return w != nil && w.made == made }

// Target returns where mail for an address goes that no route leads to; false when it may
// only wait.
func (w *World) Target(a mail.Address) (nexthop.Target, bool) {
	if w == nil || w.targets == nil {
		return nil, false
	}
	if ip, literal := a.Literal(); literal {
		return w.targets.ForLiteral(ip), true
	}
	return w.targets.For(a.Domain()), true
}

// Policy returns what a domain demands by MTA-STS; nothing where that is not obeyed.
func (w *World) Policy(ctx context.Context, d mail.Domain) mtasts.Found {
	if w == nil || w.sts == nil {
		return mtasts.Found{}
	}
	return w.sts.Policy(ctx, d)
}

// Client returns a client for one port of a web server that strangers named. It dials by
// the rule for exchangers. Only a World that delivers has one.
func (w *World) Client(host dnsx.Name, port uint16) *http.Client { return w.web.Client(host, port) }

// Run keeps what is known of other domains' policies fresh until ctx ends or w retires.
func (w *World) Run(ctx context.Context) {
	if w == nil {
		<-ctx.Done()
		return
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	if w.sts != nil {
		running.Go(func() { _ = w.sts.Run(ctx) }) // it ends with ctx alone
	}
	select {
	case <-ctx.Done():
	case <-w.gone:
	}
	stop()
	running.Wait()
}

// Retire ends w, unless it is its heir: nothing more is learnt, and no connection is kept.
// Deliveries under way go on, and nobody waits for them.
func (w *World) Retire(heir *World) {
	if w == nil || w == heir {
		return
	}
	w.end()
	if w.targets != nil {
		_ = w.targets.Close()
	}
}

// OwnAddresses returns the addresses that this host has now, and those listed, which are
// ours although the host does not show them, as behind a translation of addresses.
func OwnAddresses(listed []netip.Addr, log *slog.Logger) []netip.Addr {
	own := append([]netip.Addr(nil), listed...)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		log.Warn("our own addresses are not known", "err", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap().WithZone(""))
		}
	}
	return own
}
