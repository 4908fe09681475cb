package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"

	"sallyport/internal/autoconfig"
	"sallyport/internal/certificate"
	"sallyport/internal/config"
	"sallyport/internal/mail"
	"sallyport/internal/node/doors"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
	"sallyport/internal/tlspolicy/mtasts"
)

// ReadCertificate reads the pair of files of a configuration, for Options.Certificate; nil
// where there is none that can be used.
func ReadCertificate(cfg config.Config) *certificate.Held {
	return certificate.Hold(cfg.TLS.Cert, cfg.TLS.Key)
}

func (n *Node) certificateSource(cfg config.Config) certificate.Source {
	s := certificate.Source{Cert: cfg.TLS.Cert, Key: cfg.TLS.Key, Host: cfg.Hostname, Held: n.o.Certificate}
	if cfg.ACME.On() {
		s.Authority = cfg.ACME.Directory
	}
	return s
}

// buildCertificate finds the certificate of every door.
func (n *Node) buildCertificate(ctx context.Context, next, last *generation) (err error) {
	var in *tls.Config
	if last != nil {
		in = last.tls
	}
	if next.tls, err = certificate.Build(ctx, n.certificateSource(next.cfg), n.data.Store, in, n.o.Now(), n.log); err != nil {
		return next.cfg.Fault("tls.cert", err.Error(), "certificate and key must be readable to the server, belong together and be within their time")
	}
	return nil
}

// newCertificate makes who looks after the certificate.
func (n *Node) newCertificate() *certificate.Keeper {
	return certificate.New(certificate.Options{
		Source: func() certificate.Source { return n.certificateSource(n.config()) }, InForce: func() *tls.Config { return n.now().tls },
		Change: func(fn func()) {
			n.reloading.Lock()
			defer n.reloading.Unlock()
			fn()
		},
		Present: n.present, Record: n.record, Limits: certificate.DefaultLimits(), Now: n.o.Now, Logger: n.log,
	})
}

// leaf is the certificate that the doors present; nil: none.
func (n *Node) leaf() *x509.Certificate { return certificate.Leaf(n.now().tls) }

// present shows a certificate to new connections from now on; n.reloading is held.
func (n *Node) present(c *tls.Config) {
	next := *n.now()
	next.tls, next.then, next.undo = c, nil, nil
	change, err := n.doors.Present(next.cfg, c)
	if err != nil {
		n.log.Error("the doors keep their former certificate", "err", err)
		return
	}
	n.current.Store(&next)
	change.Adopt()
}

// acmeParts obtains and renews the certificate, where that is wanted.
func (n *Node) acmeParts() []part {
	if len(n.doors.Of(doors.ServiceACME)) == 0 {
		return nil
	}
	return []part{{"certificates", n.obtainCertificate}}
}

func (n *Node) obtainCertificate(ctx context.Context) error {
	cfg := n.config()
	return n.certificate.Obtain(ctx, certificate.Order{
		Authority: cfg.ACME.Directory, Contact: cfg.ACME.Contact, Agreed: cfg.ACME.Agree, CA: cfg.ACME.CA, TLSALPN: cfg.ACME.Challenge == config.ChallengeTLSALPN,
		Host: cfg.Hostname, Names: n.moreNames, Listeners: n.doors.Of(doors.ServiceACME), Store: n.data.Store, Now: n.o.Now, Logger: n.log,
	})
}

// moreNames are the names beside hostname that the certificate is to bear now: those of
// the configuration, and those under which our own policies are served, and settings told.
func (n *Node) moreNames(ctx context.Context) []mail.Domain {
	cfg := n.config()
	names := certificate.Names{Host: cfg.Hostname, Stated: cfg.ACME.Names, Logger: n.log, Borne: func(d mail.Domain) bool {
		leaf := n.leaf()
		return leaf != nil && leaf.VerifyHostname(d.ASCII()) == nil
	}}
	if len(cfg.TLSPolicy.Listen) > 0 || len(cfg.Autoconfig.Listen) > 0 {
		resolver, err := settings.Resolver(cfg, n.o.World)
		if err != nil {
			n.log.Error("the names of policies cannot be looked up", "err", err)
			return names.Wanted(ctx)
		}
		names.Resolver = resolver
		for _, d := range n.book.Snapshot().Domains() {
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

// obtained tells what there is of a certificate that is obtained; nil where none is.
func (n *Node) obtained() *operate.Obtained {
	cfg := n.config()
	if !cfg.ACME.On() {
		return nil
	}
	s := n.certificate.State()
	return &operate.Obtained{Authority: cfg.ACME.Directory, Chain: s.Chain, Fault: s.Fault, Next: s.Next}
}
