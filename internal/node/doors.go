package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"sallyport/internal/config"
	"sallyport/internal/kit/listen"
	localdoor "sallyport/internal/local/door"
	"sallyport/internal/smtp/server"
)

// door is one bound listener.
type door struct {
	kind     server.Kind
	at       string // as configured; the listener knows the port if that is 0
	listener net.Listener
	engine   *server.Door
	// leaving: the configuration does not name it any more, and its end is no fault.
	leaving atomic.Bool
}

// doors are the bound listeners.
type doors struct {
	mu    sync.Mutex
	open  []*door
	start func(*door) // serves a door; nil while the server does not run
}

func (d *doors) all() []*door {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.open)
}

// close closes every listener.
func (d *doors) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, one := range d.open {
		errs = append(errs, ignoreClosed(one.listener.Close()))
	}
	d.open = nil
	return errors.Join(errs...)
}

// replace makes next the open doors: those among them that were not open begin to
// serve, and those that are not among them any more accept nobody new.
func (d *doors) replace(next []*door) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.open {
		if !slices.Contains(next, one) {
			one.leaving.Store(true)
			_ = one.listener.Close() // its sessions go on
		}
	}
	for _, one := range next {
		if d.start != nil && !slices.Contains(d.open, one) {
			d.start(one)
		}
	}
	d.open = next
}

// place is a listening address, or the path of a socket, as it is configured.
type place struct {
	kind server.Kind
	at   netip.AddrPort // zero: path is a socket
	path string
	key  string // "listen.mx[0]"
}

// String returns the place as a door knows it.
func (p place) String() string {
	if p.at.IsValid() {
		return p.at.String()
	}
	return p.path
}

func places(cfg config.Config) []place {
	var all []place
	for _, set := range []struct {
		kind server.Kind
		at   []netip.AddrPort
	}{
		{server.KindMX, cfg.Listen.MX}, {server.KindSubmission, cfg.Listen.Submission}, {server.KindSubmissions, cfg.Listen.Submissions},
	} {
		for i, at := range set.at {
			all = append(all, place{kind: set.kind, at: at, key: fmt.Sprintf("listen.%s[%d]", set.kind, i)})
		}
	}
	if path := cfg.Sendmail.Socket; path != "" {
		all = append(all, place{kind: server.KindSendmail, path: path, key: "listen.sendmail"})
	}
	return all
}

// doorConfig is what the next connection of a kind of door meets.
func (n *Node) doorConfig(g *generation, k server.Kind) server.Config {
	c := server.Config{
		Kind: k, Hostname: g.cfg.Hostname, TLS: g.tls, Awaiting: g.tls == nil && g.cfg.ACME.On(), Limits: smtpdLimits(g.cfg, k), Admission: n.admission, Memory: n.memory,
		Logger: n.log, Now: n.o.Now, Notice: g.cfg.Notice, Balancers: g.cfg.Proxy.From,
	}
	if k == server.KindSendmail {
		// The kernel keeps this door from everybody outside: neither TLS nor a sign-in
		// would add to what it says.
		c.TLS, c.Awaiting, c.UserID, c.Balancers = nil, false, localdoor.UID, nil
		return c
	}
	if k != server.KindMX {
		c.Mechanisms = n.identity.Mechanisms
	}
	return c
}

// buildDoors prepares the configurations of the doors, and in a running server binds
// addresses that are new.
func (n *Node) buildDoors(ctx context.Context, next, last *generation) error {
	var errs []error
	for _, f := range n.checkSockets(next.cfg) {
		errs = append(errs, f)
	}
	for _, p := range places(next.cfg) {
		if _, ok := next.doors[p.kind]; ok {
			continue
		}
		c := n.doorConfig(next, p.kind)
		if _, err := server.NewDoor(c, n.intake); err != nil {
			errs = append(errs, next.cfg.Fault("listen."+p.kind.String(), err.Error(), ""))
			continue
		}
		next.doors[p.kind] = c
	}
	if last == nil || len(errs) > 0 {
		return errors.Join(errs...)
	}
	return n.rebind(ctx, next)
}

// rebind finds the doors of the next configuration: those that are open, and new
// ones.
func (n *Node) rebind(ctx context.Context, next *generation) error {
	open := n.doors.all()
	var kept, fresh []*door
	var errs []error
	for _, p := range places(next.cfg) {
		if i := slices.IndexFunc(open, func(d *door) bool { return d.kind == p.kind && d.at == p.String() }); i >= 0 {
			kept, open = append(kept, open[i]), slices.Delete(open, i, i+1)
			continue
		}
		d, err := n.bind(ctx, p, next.doors[p.kind])
		if err != nil {
			errs = append(errs, bindFault(next.cfg, p, err))
			continue
		}
		fresh = append(fresh, d)
		next.undo = append(next.undo, func() { _ = d.listener.Close() })
	}
	next.then = append(next.then, func() {
		for _, d := range kept {
			if err := d.engine.Use(next.doors[d.kind]); err != nil { // it was checked
				n.log.Error("a listener keeps its former configuration", "at", d.listener.Addr().String(), "err", err)
			}
		}
		n.doors.replace(ordered(slices.Concat(kept, fresh)))
	})
	return errors.Join(errs...)
}

// ordered returns the doors by kind, each kind in the order given.
func ordered(all []*door) []*door {
	slices.SortStableFunc(all, func(a, b *door) int { return int(a.kind) - int(b.kind) })
	return all
}

func bindFault(cfg config.Config, p place, err error) config.Fault {
	hint := ""
	if errors.Is(err, syscall.EADDRINUSE) {
		hint = "an address that is to change its door, or that overlaps with one in use, needs a restart"
	}
	return cfg.Fault(p.key, err.Error(), hint)
}

// Listen binds every door and the operator's socket. On an error nothing stays
// bound; a directory that does not stand is one.
func (n *Node) Listen(ctx context.Context) error {
	if err := n.book.Fault(); err != nil {
		return err
	}
	closed, err := n.book.Prove(ctx)
	if err != nil {
		return err
	}
	n.log.Info("the directory is closed", "addresses", closed.Addresses, "classes", closed.Classes)
	g := n.now()
	var open []*door
	n.doors.replace(nil)
	for _, p := range places(g.cfg) {
		d, err := n.bind(ctx, p, g.doors[p.kind])
		if err != nil {
			n.doors.replace(open)
			return errors.Join(fmt.Errorf("%s: %w", g.cfg.At(p.key), err), n.doors.close())
		}
		open = append(open, d)
	}
	n.doors.replace(open)
	if err := n.listenAdmin(); err != nil {
		return errors.Join(err, n.doors.close())
	}
	if err := n.listenMetrics(ctx); err != nil {
		return errors.Join(err, n.doors.close())
	}
	if err := n.listenPolicies(ctx); err != nil {
		n.unbindMetrics()
		return errors.Join(err, n.doors.close())
	}
	if err := n.listenACME(ctx); err != nil {
		n.unbindMetrics()
		n.unbindPolicies()
		return errors.Join(err, n.doors.close())
	}
	n.listening.Store(true)
	return nil
}

func (n *Node) bind(ctx context.Context, p place, c server.Config) (*door, error) {
	engine, err := server.NewDoor(c, n.intake)
	if err != nil {
		return nil, err
	}
	var ln net.Listener
	switch handed, ok := n.inherited(p); {
	case ok:
		ln = handed
	case p.at.IsValid():
		ln, err = listen.TCP(ctx, p.at)
	default:
		ln, err = n.listenSendmail(p.path)
	}
	if err != nil {
		return nil, err
	}
	return &door{kind: p.kind, at: p.String(), listener: ln, engine: engine}, nil
}

// listenAll binds the addresses of a key, all or none.
func (n *Node) listenAll(ctx context.Context, key string, at []netip.AddrPort, bind func(context.Context, netip.AddrPort) (net.Listener, error)) ([]net.Listener, error) {
	all, err := listen.All(ctx, at, bind)
	if which := (*listen.Error)(nil); errors.As(err, &which) {
		err = fmt.Errorf("%s: %w", n.config().At(fmt.Sprintf("%s[%d]", key, which.Index)), err)
	}
	return all, err
}

// Addrs are the addresses really bound, in the order of the configuration.
type Addrs struct {
	MX          []string `json:"mx"`
	Submission  []string `json:"submission"`
	Submissions []string `json:"submissions"`
	Sendmail    string   `json:"sendmail,omitempty"` // the socket of the sendmail command
}

// Addrs returns what is bound now.
func (n *Node) Addrs() Addrs {
	a := Addrs{MX: []string{}, Submission: []string{}, Submissions: []string{}}
	for _, d := range n.doors.all() {
		at := d.listener.Addr().String()
		switch d.kind {
		case server.KindMX:
			a.MX = append(a.MX, at)
		case server.KindSubmission:
			a.Submission = append(a.Submission, at)
		case server.KindSubmissions:
			a.Submissions = append(a.Submissions, at)
		case server.KindSendmail:
			a.Sendmail = at
		}
	}
	return a
}

// serveDoors serves every door, and those that reloads add, until ctx ends. A door
// that ends by itself ends them all.
func (n *Node) serveDoors(ctx context.Context) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	n.doors.begin(func(d *door) {
		running.Go(func() {
			err := d.serve(serving)
			if d.leaving.Load() || serving.Err() != nil && err == nil {
				return
			}
			mu.Lock()
			errs = append(errs, fmt.Errorf("%s %s: %w", d.kind, d.listener.Addr(), err))
			mu.Unlock()
			stop()
		})
	})
	<-serving.Done()
	n.doors.begin(nil)
	running.Wait()
	return errors.Join(errs...)
}

// serve serves one listener; the socket of the sendmail command learns first what each
// connection is for.
func (d *door) serve(ctx context.Context) error {
	if local, ok := d.listener.(*localdoor.Door); ok {
		return local.Serve(ctx, d.engine.Serve)
	}
	return d.engine.Serve(ctx, d.listener)
}

// begin starts what is open, and from now on what will be; nil: nothing any more.
func (d *doors) begin(start func(*door)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.start = start
	for _, one := range d.open {
		if start != nil {
			start(one)
		}
	}
}
