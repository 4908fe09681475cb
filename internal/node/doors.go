package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"sallyport/internal/access"
	"sallyport/internal/config"
	"sallyport/internal/kit/listen"
	localdoor "sallyport/internal/local/door"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
	"sallyport/internal/smtp/server"
)

// Services that listen, beside the kinds of doors.
const (
	serviceAdmin    = "admin"
	serviceHelpers  = "helpers"
	servicePartner  = "checkpassword"
	serviceMetrics  = "metrics"
	servicePolicies = "tls_policy"
	serviceACME     = "acme"
)

// places are all at which a configuration has this server listen, in the order in which
// they are bound.
func places(cfg config.Config) (all []listen.Place) {
	add := func(service, key string, handed bool, at []netip.AddrPort) {
		for i, a := range at {
			all = append(all, listen.Place{Service: service, At: a, Name: fmt.Sprintf("%s[%d]", key, i), Handed: handed})
		}
	}
	for _, door := range cfg.Listen.Doors() {
		add(door.Name, "listen."+door.Name, true, door.At)
	}
	if path := cfg.Sendmail.Socket; path != "" {
		all = append(all, listen.Place{Service: server.KindSendmail.String(), Path: path, Name: "listen.sendmail"})
	}
	all = append(all, listen.Place{Service: serviceAdmin, Path: cfg.Socket(), Name: "data"})
	if path := cfg.Helpers.Socket; path != "" {
		all = append(all, listen.Place{Service: serviceHelpers, Path: path, Name: "helpers.socket"})
	}
	if path := cfg.CheckPassword.Socket; path != "" {
		all = append(all, listen.Place{Service: servicePartner, Path: path, Name: "checkpassword.socket"})
	}
	add(serviceMetrics, "metrics.listen", false, cfg.Metrics.Listen)
	add(servicePolicies, "tls_policy.listen", false, cfg.TLSPolicy.Listen)
	for i, a := range cfg.Autoconfig.Listen {
		if !slices.Contains(cfg.TLSPolicy.Listen, a) { // else that web server tells the settings, too
			all = append(all, listen.Place{Service: servicePolicies, At: a, Name: fmt.Sprintf("autoconfig.listen[%d]", i)})
		}
	}
	add(serviceACME, "acme.listen", true, cfg.ACME.Listen)
	return all
}

// BindEarly binds the addresses of a configuration that root alone may bind, for
// Options.Early.
func BindEarly(ctx context.Context, cfg config.Config) ([]listen.Socket, error) {
	bound, err := listen.Early(ctx, places(cfg))
	if f := (*listen.Fault)(nil); errors.As(err, &f) {
		err = fmt.Errorf("%s: %w", cfg.At(f.Place.Name), f.Err)
	}
	return bound, err
}

// bind binds a place that nobody handed over.
func (n *Node) bind(ctx context.Context, p listen.Place) (net.Listener, error) {
	switch p.Service {
	case serviceAdmin:
		n.warnExposed(p.Path)
		return operate.Listen(p.Path)
	case serviceHelpers:
		n.warnExposed(p.Path)
		return operate.ListenHelpers(p.Path, n.config().Helpers.Group.ID)
	case servicePartner:
		n.warnExposed(p.Path)
		return operate.ListenPartner(p.Path, n.config().CheckPassword.Group.ID)
	case server.KindSendmail.String():
		return n.listenSendmail(p.Path)
	}
	return listen.TCP(ctx, p.At)
}

// serverConfig is what the connections to come meet, before the doors share it out.
func (n *Node) serverConfig(g *generation) server.Config {
	return server.Config{
		Hostname: g.cfg.Hostname, TLS: g.tls, Awaiting: g.tls == nil && g.cfg.ACME.On(), Limits: settings.Server(g.cfg), Admission: n.admission, Memory: n.memory,
		Logger: n.log, Now: n.o.Now, Notice: g.cfg.Notice, Balancers: g.cfg.Proxy.From, Mechanisms: n.intake.Mechanisms, Unoffered: n.intake.Unoffered, Clear: n.clear, UserID: localdoor.UID,
	}
}

// doorKinds are the kinds of doors that a configuration has.
func doorKinds(cfg config.Config) (kinds []server.Kind) {
	for _, k := range server.Kinds() {
		for _, p := range places(cfg) {
			if p.Service == k.String() {
				kinds = append(kinds, k)
				break
			}
		}
	}
	return kinds
}

// buildDoors prepares the configurations of the doors.
func (n *Node) buildDoors(_ context.Context, next, _ *generation) error {
	change, err := n.doors.Build(n.serverConfig(next), doorKinds(next.cfg)...)
	if err != nil {
		return settings.Each(err, func(e *server.KindError) error { return next.cfg.Fault("listen."+e.Kind.String(), e.Err.Error(), "") })
	}
	next.then = append(next.then, change.Adopt)
	return nil
}

// buildListeners compares what was handed over, and in a running server binds addresses
// that are new.
func (n *Node) buildListeners(ctx context.Context, next, last *generation) error {
	var errs []error
	for _, m := range listen.Mismatches(places(next.cfg), n.o.Sockets) {
		key := m.Name
		switch {
		case key == "" && m.Service == serviceACME:
			key = "acme.listen"
		case key == "":
			key = "listen." + m.Service
		}
		errs = append(errs, next.cfg.Fault(key, m.Message, socketAdvice(m, n.o.Sockets, last != nil)))
	}
	if last == nil || len(errs) > 0 {
		return errors.Join(errs...)
	}
	change, err := n.listeners.Build(ctx, places(next.cfg))
	if err != nil {
		return settings.Each(err, func(f *listen.Fault) error {
			hint := ""
			if errors.Is(f, syscall.EADDRINUSE) {
				hint = "an address that is to change its door, or that overlaps with one in use, needs a restart"
			}
			return next.cfg.Fault(f.Place.Name, f.Error(), hint)
		})
	}
	next.then = append(next.then, change.Adopt)
	next.undo = append(next.undo, change.Abandon)
	return nil
}

// socketAdvice says what to do about a socket that systemd should have handed over, or should
// not have: a door without any has its unit still to be enabled, which systemd does for no
// server that runs; another has other addresses in its unit.
func socketAdvice(m listen.Mismatch, handed []listen.Socket, running bool) string {
	unit := "sallyport-" + m.Service + ".socket"
	if slices.ContainsFunc(handed, func(s listen.Socket) bool { return s.Service == m.Service }) {
		return fmt.Sprintf("systemd opens the listeners of this server: change ListenStream= in %s to the same addresses, and restart the socket unit", unit)
	}
	if running {
		return fmt.Sprintf("systemd opens the listeners of this server, and none of this door: systemctl stop sallyport.service, systemctl enable --now %s, systemctl start sallyport.service", unit)
	}
	return fmt.Sprintf("systemd opens the listeners of this server, and none of this door: systemctl enable --now %s, then start the server", unit)
}

// Listen binds every door, the operator's socket and the web servers. On an error nothing
// stays bound; a directory that does not stand is one.
func (n *Node) Listen(ctx context.Context) error {
	if err := n.book.Fault(); err != nil {
		return err
	}
	closed, err := n.book.Prove(ctx)
	if err != nil {
		return err
	}
	n.log.Info("the directory is closed", "addresses", closed.Addresses, "classes", closed.Classes)
	change, err := n.listeners.Build(ctx, places(n.config()))
	if err != nil {
		return settings.Each(err, func(f *listen.Fault) error { return fmt.Errorf("%s: %w", n.config().At(f.Place.Name), f.Err) })
	}
	change.Adopt()
	n.listening.Store(true)
	return nil
}

// Addrs are the addresses really bound, in the order of the configuration.
type Addrs struct {
	MX          []string `json:"mx"`
	Submission  []string `json:"submission"`
	Submissions []string `json:"submissions"`
	IMAP        []string `json:"imap"`
	IMAPS       []string `json:"imaps"`
	POP3        []string `json:"pop3"`
	POP3S       []string `json:"pop3s"`
	Sendmail    string   `json:"sendmail,omitempty"` // the socket of the sendmail command
}

// Addrs returns what is bound now.
func (n *Node) Addrs() Addrs {
	at := n.listeners.Addrs
	a := Addrs{MX: at("mx"), Submission: at("submission"), Submissions: at("submissions"), IMAP: at("imap"), IMAPS: at("imaps"), POP3: at("pop3"), POP3S: at("pop3s")}
	if local := at(server.KindSendmail.String()); len(local) > 0 {
		a.Sendmail = local[0]
	}
	return a
}

// serveDoors serves every door, and those that reloads add, until ctx ends.
func (n *Node) serveDoors(ctx context.Context) error {
	return n.listeners.Serve(ctx, func(service string) func(context.Context, net.Listener) error {
		door := n.doors.Of(server.KindOf(service))
		reading := access.KindOf(service)
		switch {
		case n.access.Has(reading):
			return func(ctx context.Context, ln net.Listener) error { return n.access.Serve(ctx, reading, ln) }
		case door == nil:
			return nil // a part of its own
		case service == server.KindSendmail.String():
			return func(ctx context.Context, ln net.Listener) error { return localdoor.Serve(ctx, ln, door.Serve) }
		}
		return door.Serve
	})
}
