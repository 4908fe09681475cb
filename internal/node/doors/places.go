package doors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"sallyport/internal/config"
	"sallyport/internal/kit/listen"
	"sallyport/internal/node/settings"
	partnersocket "sallyport/internal/operate/partner"
	"sallyport/internal/operate/socket"
	"sallyport/internal/smtp/server"
)

// Services that listen, beside the kinds of doors. Those that are exported are served by others.
const (
	serviceAdmin   = "admin"
	serviceHelpers = "helpers"
	servicePartner = "checkpassword"
	ServiceMetrics = "metrics"
	ServiceWeb     = "https"
	ServiceACME    = "acme"
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
	add(ServiceMetrics, "metrics.listen", false, cfg.Metrics.Listen)
	web := func(key string, i int, a netip.AddrPort) {
		one := listen.Place{Service: ServiceWeb, At: a, Name: fmt.Sprintf("%s[%d]", key, i), Handed: true}
		one.Either = one.Free()
		all = append(all, one)
	}
	for i, a := range cfg.TLSPolicy.Listen {
		web("tls_policy.listen", i, a)
	}
	for i, a := range cfg.Autoconfig.Listen {
		if !slices.Contains(cfg.TLSPolicy.Listen, a) { // else that web server tells the settings, too
			web("autoconfig.listen", i, a)
		}
	}
	add(ServiceACME, "acme.listen", true, cfg.ACME.Listen)
	return all
}

// Early binds the addresses of a configuration that root alone may bind, for
// Options.Early.
func Early(ctx context.Context, cfg config.Config) ([]listen.Socket, error) {
	bound, err := listen.Early(ctx, places(cfg))
	if f := (*listen.Fault)(nil); errors.As(err, &f) {
		err = atPlace(cfg, f)
	}
	return bound, err
}

// bind binds a place that nobody handed over.
func (d *Doors) bind(ctx context.Context, p listen.Place) (net.Listener, error) {
	switch p.Service {
	case serviceAdmin:
		d.warnExposed(p.Path)
		return socket.Listen(p.Path)
	case serviceHelpers:
		d.warnExposed(p.Path)
		return socket.ListenGroup(p.Path, d.o.Config().Helpers.Group.ID, socket.DefaultLimits().PerUser)
	case servicePartner:
		d.warnExposed(p.Path)
		return partnersocket.Listen(p.Path, d.o.Config().CheckPassword.Group.ID)
	case server.KindSendmail.String():
		return d.listenSendmail(p.Path)
	}
	return listen.TCP(ctx, p.At)
}

// postingKinds are the kinds of doors that take mail in a configuration.
func postingKinds(cfg config.Config) (kinds []server.Kind) {
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

// listen compares what was handed over, and in a running server binds places that are new; nil:
// nothing is to be bound now.
func (d *Doors) listen(ctx context.Context, cfg config.Config, running bool) (*listen.Change, error) {
	var errs []error
	for _, m := range listen.Mismatches(places(cfg), d.o.Sockets) {
		key := m.Name
		switch {
		case key == "" && m.Service == ServiceACME:
			key = "acme.listen"
		case key == "" && m.Service == ServiceWeb:
			key = "autoconfig.listen"
		case key == "":
			key = "listen." + m.Service
		}
		errs = append(errs, cfg.Fault(key, m.Message, socketAdvice(m, d.o.Sockets, running)))
	}
	if !running || len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	change, err := d.listeners.Build(ctx, places(cfg))
	if err != nil {
		return nil, settings.Each(err, func(f *listen.Fault) error {
			hint := ""
			if errors.Is(f, syscall.EADDRINUSE) {
				hint = "an address that is to change its door, or that overlaps with one in use, needs a restart"
			}
			return cfg.Fault(f.Place.Name, f.Error(), hint)
		})
	}
	return change, nil
}

// atPlace says which key has the place that is at fault.
func atPlace(cfg config.Config, f *listen.Fault) error {
	return fmt.Errorf("%s: %w", cfg.At(f.Place.Name), f.Err)
}

// socketAdvice says what to do about a socket that systemd should have handed over, or should
// not have: a door without any has its unit still to be enabled, which systemd does for no
// server that runs; another has other addresses in its unit.
func socketAdvice(m listen.Mismatch, handed []listen.Socket, running bool) string {
	unit := "sallyport-" + m.Service + ".socket"
	if slices.ContainsFunc(handed, func(s listen.Socket) bool { return s.Service == m.Service }) {
		return fmt.Sprintf("systemd opens the listeners of this server: change ListenStream= in %s to the same addresses, and restart the socket unit",
			unit)
	}
	if running {
		return fmt.Sprintf("systemd opens the listeners of this server, and none of this door: systemctl stop sallyport.service, systemctl enable --now %s, systemctl start sallyport.service",
			unit)
	}
	return fmt.Sprintf("systemd opens the listeners of this server, and none of this door: systemctl enable --now %s, then start the server",
		unit)
}
