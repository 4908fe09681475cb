package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"sallyport/internal/acme"
	"sallyport/internal/config"
	"sallyport/internal/fact"
	"sallyport/internal/kit/listen"
	"sallyport/internal/operate"
)

var errNoRoots = errors.New("this file holds no certificate")

// obtaining is how it goes with obtaining a certificate.
type obtaining struct {
	listeners []net.Listener

	mu     sync.Mutex
	keeper *acme.Keeper // nil before the server runs
	fault  string       // why the last attempt failed; "" it did not
	next   time.Time    // of the next attempt after a fault
}

// buildObtained takes the certificate that was obtained before; there may be none yet.
// One that cannot be read is as none: another one will be obtained. A running server
// keeps what it has: only a start changes where certificates come from.
func (n *Node) buildObtained(ctx context.Context, next, last *generation) error {
	if last != nil {
		next.tls = last.tls
		return nil
	}
	held, ok, err := acme.Load(ctx, n.store, next.cfg.Hostname)
	switch {
	case err != nil:
		n.log.Error("the certificate that was obtained cannot be used", "err", err)
	case ok:
		next.tls = tlsConfig(held.Certificate)
	}
	return nil
}

// warnBefore is how long before its end a certificate is warned of: one that is obtained
// should have been renewed when a third of its time was left.
func (n *Node) warnBefore(leaf *x509.Certificate) time.Duration {
	if n.config().ACME.On() {
		return leaf.NotAfter.Sub(leaf.NotBefore) / 4
	}
	return certificateWarn
}

// listenACME binds where challenges are answered.
func (n *Node) listenACME(ctx context.Context) (err error) {
	n.obtaining.listeners, err = n.listenAll(ctx, "acme.listen", n.config().ACME.Listen, func(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
		if ln, ok := n.handedOver(doorACME, at); ok {
			return ln, nil
		}
		return listen.TCP(ctx, at)
	})
	return err
}

func (n *Node) unbindACME() {
	_ = listen.Close(n.obtaining.listeners)
	n.obtaining.listeners = nil
}

// acmeParts obtains and renews the certificate, where that is wanted.
func (n *Node) acmeParts() []part {
	if len(n.obtaining.listeners) == 0 {
		return nil
	}
	return []part{{"certificates", n.keepCertificate}}
}

func (n *Node) keepCertificate(ctx context.Context) error {
	cfg := n.config()
	o := acme.Options{
		Store: n.store, Directory: cfg.ACME.Directory, Agreed: cfg.ACME.Agree, Host: cfg.Hostname, Names: n.moreNames, Listeners: n.obtaining.listeners,
		Challenge: acme.HTTP01, Obtained: n.certificateObtained, Failed: n.certificateFailed, Limits: acme.DefaultLimits(), Now: n.o.Now, Logger: n.log,
	}
	if cfg.ACME.Challenge == config.ChallengeTLSALPN {
		o.Challenge = acme.TLSALPN01
	}
	if !cfg.ACME.Contact.IsZero() {
		o.Contact = cfg.ACME.Contact.String()
	}
	if cfg.ACME.CA != "" {
		text, err := os.ReadFile(cfg.ACME.CA)
		if err != nil {
			return err
		}
		if o.Roots = x509.NewCertPool(); !o.Roots.AppendCertsFromPEM(text) {
			return fmt.Errorf("%s: %w", cfg.ACME.CA, errNoRoots)
		}
	}
	if n.leaf() == nil {
		n.log.Warn("there is no certificate yet: no STARTTLS, and nobody can sign in, until it is obtained", "authority", cfg.ACME.Directory)
	}
	keeper, err := acme.New(o)
	if err != nil {
		return err
	}
	n.obtaining.mu.Lock()
	n.obtaining.keeper = keeper
	n.obtaining.mu.Unlock()
	return keeper.Run(ctx)
}

// wakeACME lets a certificate be looked after now: something was changed.
func (n *Node) wakeACME() {
	n.obtaining.mu.Lock()
	defer n.obtaining.mu.Unlock()
	if n.obtaining.keeper != nil {
		n.obtaining.keeper.Wake()
	}
}

// certificateObtained presents what was obtained to new connections.
func (n *Node) certificateObtained(ctx context.Context, cert tls.Certificate) {
	n.obtaining.mu.Lock()
	n.obtaining.fault, n.obtaining.next = "", time.Time{}
	n.obtaining.mu.Unlock()
	n.reloading.Lock()
	defer n.reloading.Unlock()
	n.present(ctx, cert)
}

// certificateFailed tells that a certificate was not obtained.
func (n *Node) certificateFailed(ctx context.Context, err error, next time.Time) {
	n.obtaining.mu.Lock()
	n.obtaining.fault, n.obtaining.next = err.Error(), next
	n.obtaining.mu.Unlock()
	n.log.Error("no certificate was obtained", "authority", n.config().ACME.Directory, "err", err, "again", next.Sub(n.o.Now()).Round(time.Second).String())
	f := fact.Reloaded{At: n.o.Now(), Rule: "certificate-not-obtained", Text: "no certificate was obtained; it is tried again"}.Fact()
	if leaf := n.leaf(); leaf != nil {
		f = f.Evidenced("until", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	n.record(ctx, f.Evidenced("fault", err.Error()).Evidenced("next", next.UTC().Format(time.RFC3339)))
}

// obtained tells what there is of a certificate that is obtained; nil where none is.
func (n *Node) obtained() *operate.Obtained {
	cfg := n.config()
	if !cfg.ACME.On() {
		return nil
	}
	n.obtaining.mu.Lock()
	o := &operate.Obtained{Authority: cfg.ACME.Directory, Fault: n.obtaining.fault, Next: n.obtaining.next}
	n.obtaining.mu.Unlock()
	if c := n.now().tls; c != nil {
		for _, der := range c.Certificates[0].Certificate {
			o.Chain += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		}
	}
	return o
}
