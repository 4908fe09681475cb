package node

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"sync"

	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/mx"
	smtpclient "sallyport/internal/smtp/client"
)

// resolvConf is where the system names its recursive servers.
const resolvConf = "/etc/resolv.conf"

// world reaches domains without a route by their mail exchangers; with no targets,
// it reaches none.
type world struct {
	targets  *mx.Targets
	policies policies
	made     string        // of what
	gone     chan struct{} // closed when nothing is to be learnt any more
	end      func()        // closes it
}

// buildWorld makes the targets, or takes over those that would be the same, with all
// that they have learnt.
func (n *Node) buildWorld(ctx context.Context, next, last *generation) error {
	roots, pem, err := loadRoots(next.cfg.TLSPolicy.CA)
	if err != nil {
		return next.cfg.Fault("tls_policy.ca", err.Error(), "")
	}
	made := fmt.Sprintf("%+v %+v %s %v %d %q", next.cfg.MX, next.cfg.TLSPolicy, next.cfg.Hostname, next.cfg.Literals, next.cfg.Limits.DeliveriesPerDomain, pem)
	if last != nil && last.world.made == made {
		next.world = last.world
		return nil
	}
	gone := make(chan struct{})
	next.world = world{made: made, gone: gone, end: sync.OnceFunc(func() { close(gone) })}
	if !next.cfg.MX.Delivery {
		return nil
	}
	return n.openWorld(ctx, next, roots)
}

// worldTarget returns where mail goes that no route leads to, as it stands now.
func (n *Node) worldTarget(a mail.Address) (nexthop.Target, bool) { return n.now().world.target(a) }

func (n *Node) openWorld(ctx context.Context, next *generation, roots *x509.CertPool) error {
	cfg, o := next.cfg, n.o
	resolver, err := newResolver(cfg, o)
	if err != nil {
		return cfg.Fault("mx.dns", err.Error(), "")
	}
	p, err := n.openPolicies(ctx, cfg, resolver, roots)
	if err != nil {
		return err
	}
	limits := mx.DefaultLimits()
	limits.Connections = cfg.Limits.DeliveriesPerDomain
	limits.Start = min(limits.Start, limits.Connections)
	opts := mx.Options{
		Hello: cfg.Hostname, Resolver: resolver, Own: func() []netip.Addr { return ownAddresses(cfg, o) },
		AllowPrivate: cfg.MX.Private, Port: o.MXPort,
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return o.Dial(ctx, "tcp", to.String())
		},
		Timeouts: smtpclient.DefaultTimeouts(), SMTP: smtpclient.DefaultLimits(), Limits: limits, Now: o.Now, Logger: o.Logger,
	}
	p.obeyed(&opts)
	next.world.policies = p
	next.world.targets, err = mx.New(opts)
	return err
}

func newResolver(cfg config.Config, o Options) (dnsx.Resolver, error) {
	if o.Resolver != nil {
		return o.Resolver, nil
	}
	opts := dnsx.Options{Limits: dnsx.DefaultLimits(), Now: o.Now}
	for _, at := range cfg.MX.DNS {
		opts.Servers = append(opts.Servers, dnsx.Server{Addr: at})
	}
	if len(opts.Servers) == 0 {
		var err error
		if opts.Servers, err = systemServers(opts.Limits.Servers); err != nil {
			return nil, err
		}
	}
	// Only the administrator knows whether they validate.
	for i := range opts.Servers {
		opts.Servers[i].Validating = cfg.TLSPolicy.Validated
	}
	return dnsx.NewClient(opts)
}

// systemServers are those of resolv.conf. A system that names none has one on this
// host, as resolv.conf(5) says.
func systemServers(most int) ([]dnsx.Server, error) {
	local := []dnsx.Server{{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53), Assumed: true}}
	f, err := os.Open(resolvConf)
	if errors.Is(err, fs.ErrNotExist) {
		return local, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	servers, err := dnsx.SystemServers(f, most)
	if errors.Is(err, dnsx.ErrNoServers) {
		return local, nil
	}
	return servers, err
}

// ownAddresses are those that this host has now, and those that the configuration
// says are ours although the host does not show them (address translation).
func ownAddresses(cfg config.Config, o Options) []netip.Addr {
	own := append([]netip.Addr(nil), cfg.Literals...)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		o.Logger.Warn("our own addresses are not known", "err", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap().WithZone(""))
		}
	}
	return own
}

// target returns where mail for an address goes that no route leads to; false when
// it may only wait.
func (w world) target(a mail.Address) (nexthop.Target, bool) {
	if w.targets == nil {
		return nil, false
	}
	if ip, literal := a.Literal(); literal {
		return w.targets.ForLiteral(ip), true
	}
	return w.targets.For(a.Domain()), true
}

// retire ends the targets, unless heir has them.
func (w world) retire(heir world) {
	if w.made == "" || w.gone == heir.gone {
		return
	}
	w.end()
	if w.targets != nil {
		_ = w.targets.Close() // it waits for nobody
	}
}
