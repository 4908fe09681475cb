// Package identity has the server's identity: which certificate it presents, under which names,
// who renews it, and what its web server says under those names (its own MTA-STS policy, and the
// settings of mail programs).
package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"

	"sallyport/internal/autoconfig"
	"sallyport/internal/certificate"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
	"sallyport/internal/store"
	"sallyport/internal/tlspolicy/mtasts"
)

// Held is a pair of files as a process read it while it might.
type Held = certificate.Held

// Read reads the pair of files of a configuration; nil where there is none that can be used.
func Read(cfg config.Config) *Held { return certificate.Hold(cfg.TLS.Cert, cfg.TLS.Key) }

// Options are what an Identity is given; all but Held are required.
type Options struct {
	settings.World
	Config    func() config.Config // the one in force
	Held      *Held
	Store     store.Store
	Directory func() *directory.Snapshot
	// InForce returns what is presented, Change calls fn while nobody else changes it, and
	// Present, which is called in it, presents something else to new connections.
	InForce func() *tls.Config
	Change  func(fn func())
	Present func(*tls.Config)
	Record  func(context.Context, fact.Fact)
}

// Identity is that of one server.
type Identity struct {
	*certificate.Keeper // looks after the certificate
	o                   Options
}

// New returns an Identity.
func New(o Options) *Identity {
	i := &Identity{o: o}
	i.Keeper = certificate.New(certificate.Options{
		Source: func() certificate.Source { return i.source(o.Config()) }, InForce: o.InForce,
		Change: o.Change, Present: o.Present, Record: o.Record,
		Limits: certificate.DefaultLimits(), Now: o.Now, Logger: o.Logger,
	})
	return i
}

func (i *Identity) source(cfg config.Config) certificate.Source {
	s := certificate.Source{Cert: cfg.TLS.Cert, Key: cfg.TLS.Key, Host: cfg.Hostname, Held: i.o.Held}
	if cfg.ACME.On() {
		s.Authority = cfg.ACME.Directory
	}
	return s
}

// Build finds the certificate of every door; in is what is presented now, nil at a start.
func (i *Identity) Build(ctx context.Context, cfg config.Config, in *tls.Config) (*tls.Config, error) {
	next, err := certificate.Build(ctx, i.source(cfg), i.o.Store, in, i.o.Now(), i.o.Logger)
	if err != nil {
		// With that of now the doors have no faults that are only its echo.
		return in, cfg.Fault("tls.cert", err.Error(),
			"certificate and key must be readable to the server, belong together and be within their time")
	}
	return next, nil
}

// Leaf is the certificate that is presented; nil: none.
func (i *Identity) Leaf() *x509.Certificate { return certificate.Leaf(i.o.InForce()) }

// Warning says what is wrong with the certificate that is presented; "": nothing.
func (i *Identity) Warning() string {
	if leaf := i.Leaf(); leaf != nil {
		return certificate.Warning(leaf, i.o.Config().Hostname, i.o.Now())
	}
	return ""
}

// Obtain obtains and renews the certificate, and answers challenges at listeners, until ctx ends.
func (i *Identity) Obtain(ctx context.Context, listeners []net.Listener) error {
	cfg := i.o.Config()
	return i.Keeper.Obtain(ctx, certificate.Order{
		Authority: cfg.ACME.Directory, Contact: cfg.ACME.Contact, Agreed: cfg.ACME.Agree, CA: cfg.ACME.CA,
		TLSALPN: cfg.ACME.Challenge == config.ChallengeTLSALPN,
		Host:    cfg.Hostname, Names: i.Names, Listeners: listeners, Store: i.o.Store, Now: i.o.Now, Logger: i.o.Logger,
	})
}

// Obtained tells what there is of a certificate that is obtained; nil where none is.
func (i *Identity) Obtained() *operate.Obtained {
	cfg := i.o.Config()
	if !cfg.ACME.On() {
		return nil
	}
	s := i.State()
	return &operate.Obtained{Authority: cfg.ACME.Directory, Chain: s.Chain, Fault: s.Fault, Next: s.Next}
}

// Names are the names beside hostname that the certificate is to bear now: those of
// the configuration, and those under which our own policies are served, and settings told.
func (i *Identity) Names(ctx context.Context) []mail.Domain {
	cfg := i.o.Config()
	names := certificate.Names{Host: cfg.Hostname, Stated: cfg.ACME.Names, Logger: i.o.Logger, Borne: func(d mail.Domain) bool {
		leaf := i.Leaf()
		return leaf != nil && leaf.VerifyHostname(d.ASCII()) == nil
	}}
	if len(cfg.TLSPolicy.Listen) > 0 || len(cfg.Autoconfig.Listen) > 0 {
		// Whoever has given a name an address reloads, and wants it seen: nothing of before may be
		// remembered.
		own := i.o.World
		own.DNS = nil
		resolver, err := settings.Resolver(cfg, own)
		if err != nil {
			i.o.Logger.Error("the names of policies cannot be looked up", "err", err)
			return names.Wanted(ctx)
		}
		names.Resolver = resolver
		for _, d := range i.o.Directory().Domains() {
			if host, ok := mtasts.HostOf(d.Name); ok && len(cfg.TLSPolicy.Listen) > 0 {
				names.Policies = append(names.Policies, host)
			}
			if len(cfg.Autoconfig.Listen) > 0 {
				names.Policies = append(names.Policies, autoconfig.Hosts(d.Name)...)
			}
		}
	}
	return names.Wanted(ctx)
}
