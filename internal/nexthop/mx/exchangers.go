package mx

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/smtp/client"
	"sallyport/internal/store"
	"sallyport/internal/tlspolicy/mtasts"
)

// ExchangersOptions are what Exchangers are made of.
type ExchangersOptions struct {
	// Options are those of the targets; Build sets Timeouts and SMTP, and STS where MTASTS
	// says so.
	Options
	// Made stands for all that the configuration says here: Exchangers of the same are the same.
	Made string
	// Delivery: mail is delivered by exchangers at all; else everything that has no route
	// waits, and only Made is needed.
	Delivery bool
	// MTASTS: other domains' MTA-STS policies are obeyed, and kept in Store.
	MTASTS bool
	Store  store.Store
	// Passed is the time by which policies grow old, whatever the clock was set to; nil: Now.
	Passed func() time.Time
	// PolicyPort is that of web servers which strangers name: 443 in a server.
	// RFC 8461 §3.3
	PolicyPort uint16
}

// Exchangers reach domains without a route by their mail exchangers, in one state of the
// configuration. With no targets, they reach none; nil are such Exchangers as well.
type Exchangers struct {
	made    string
	targets *Targets
	sts     *mtasts.Keeper // nil: no policy is obeyed
	web     mtasts.Fetcher
	gone    chan struct{} // closed when nothing is to be learnt any more
	end     func()        // closes it
}

// Build makes Exchangers. It opens what the store keeps of policies, and connects to nothing.
func Build(ctx context.Context, o ExchangersOptions) (*Exchangers, error) {
	e := &Exchangers{made: o.Made, gone: make(chan struct{})}
	e.end = sync.OnceFunc(func() { close(e.gone) })
	if !o.Delivery {
		return e, nil
	}
	o.Timeouts, o.SMTP = client.DefaultTimeouts(), client.DefaultLimits()
	limits := mtasts.DefaultLimits()
	e.web = mtasts.Fetcher{
		Resolver: o.Resolver, Roots: o.Roots, Port: o.PolicyPort, Addresses: limits.Addresses, Dial: o.Dial,
		// A web server of somebody else's is dialled by the rule for exchangers.
		Admit: func(ip netip.Addr) string { return string(Rule{Own: o.Own(), Allow: o.AllowPrivate}.Check(ip)) },
	}
	var err error
	if o.Passed == nil {
		o.Passed = o.Now
	}
	if o.MTASTS {
		e.sts, err = mtasts.New(ctx, mtasts.Options{Resolver: o.Resolver, Fetch: e.web.Fetch, Store: o.Store, Limits: limits, Now: o.Passed, Logger: o.Logger})
		if err != nil {
			return nil, err
		}
		o.STS = e.Policy
	}
	e.targets, err = New(o.Options)
	return e, err
}

// Is reports whether Build would make e of what made stands for, so that e may stay, with
// all that it has learnt.
func (e *Exchangers) Is(made string) bool { return e != nil && e.made == made }

// Target returns where mail for an address goes that no route leads to; false when it may
// only wait.
func (e *Exchangers) Target(a mail.Address) (nexthop.Target, bool) {
	if e == nil || e.targets == nil {
		return nil, false
	}
	if ip, literal := a.Literal(); literal {
		return e.targets.ForLiteral(ip), true
	}
	return e.targets.For(a.Domain()), true
}

// Wake has what goes to each destination try to connect, also where that failed just now.
func (e *Exchangers) Wake() {
	if e != nil && e.targets != nil {
		e.targets.Wake()
	}
}

// Policy returns what a domain demands by MTA-STS; nothing where that is not obeyed.
func (e *Exchangers) Policy(ctx context.Context, d mail.Domain) mtasts.Found {
	if e == nil || e.sts == nil {
		return mtasts.Found{}
	}
	return e.sts.Policy(ctx, d)
}

// Client returns a client for one port of a web server that strangers named. It dials by
// the rule for exchangers. Only Exchangers that deliver have one.
func (e *Exchangers) Client(host dnsx.Name, port uint16) *http.Client {
	return e.web.Client(host, port)
}

// Run keeps what is known of other domains' policies fresh until ctx ends or e retires.
func (e *Exchangers) Run(ctx context.Context) {
	if e == nil {
		<-ctx.Done()
		return
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	if e.sts != nil {
		running.Go(func() { _ = e.sts.Run(ctx) }) // it ends with ctx alone
	}
	select {
	case <-ctx.Done():
	case <-e.gone:
	}
	stop()
	running.Wait()
}

// Retire ends e, unless it is its heir: nothing more is learnt, and no connection is kept.
// Deliveries under way go on, and nobody waits for them.
func (e *Exchangers) Retire(heir *Exchangers) {
	if e == nil || e == heir {
		return
	}
	e.end()
	if e.targets != nil {
		_ = e.targets.Close()
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
