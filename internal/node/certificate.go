package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/smtp/server"
)

const (
	// certificateEvery is how often the files of the certificate are looked at.
	certificateEvery = 10 * time.Second
	// certificateWarn is how long before its end a certificate is warned of, daily.
	certificateWarn = 14 * 24 * time.Hour
)

// buildCertificate reads the certificate of every door; there is none where the
// configuration names none. The same certificate keeps its TLS configuration, whose
// tickets clients may still hold.
func (n *Node) buildCertificate(ctx context.Context, next, last *generation) error {
	if next.cfg.ACME.On() {
		return n.buildObtained(ctx, next, last)
	}
	if next.cfg.TLS.Cert == "" {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(next.cfg.TLS.Cert, next.cfg.TLS.Key)
	if err != nil {
		return next.cfg.Fault("tls.cert", err.Error(), "certificate and key must be readable to the server, and belong together")
	}
	if last != nil && sameCertificate(last.tls, cert) {
		next.tls = last.tls
		return nil
	}
	next.tls = tlsConfig(cert)
	return nil
}

// tlsConfig presents one certificate, so that it is known which one a connection
// saw. Go's defaults choose protocol (1.2 and later) and ciphers.
func tlsConfig(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

func sameCertificate(c *tls.Config, cert tls.Certificate) bool {
	if c == nil || len(c.Certificates) != 1 || len(c.Certificates[0].Certificate) != len(cert.Certificate) {
		return false
	}
	for i, der := range cert.Certificate {
		if !bytes.Equal(der, c.Certificates[0].Certificate[i]) {
			return false
		}
	}
	return true
}

// watchCertificate takes a certificate in when its files change, and warns before one
// ends, until ctx ends.
func (n *Node) watchCertificate(ctx context.Context) {
	fault, warned := "", time.Time{}
	for {
		fault = n.rereadCertificate(ctx, fault)
		if leaf, now := n.leaf(), n.o.Now(); leaf != nil && leaf.NotAfter.Sub(now) < n.warnBefore(leaf) && now.Sub(warned) >= 24*time.Hour {
			warned = now
			n.certificateLog().Warn("the certificate ends soon, and nothing has renewed it", "until", leaf.NotAfter)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(certificateEvery):
		}
	}
}

// certificateLog returns a logger that says where the certificate comes from.
func (n *Node) certificateLog() *slog.Logger {
	if cfg := n.config(); !cfg.ACME.On() {
		return n.log.With("file", cfg.TLS.Cert)
	}
	return n.log.With("authority", n.config().ACME.Directory)
}

// rereadCertificate presents the certificate of the files to new connections, if it is
// another one. A pair that cannot be used leaves the former one in force; that is told
// once, and returned, so that the next call knows. While one of the two files is new
// and the other is not yet, the pair is such a one for a moment.
func (n *Node) rereadCertificate(ctx context.Context, told string) (fault string) {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	g := n.now()
	if g.tls == nil || g.cfg.ACME.On() {
		return ""
	}
	cert, err := tls.LoadX509KeyPair(g.cfg.TLS.Cert, g.cfg.TLS.Key)
	if err != nil {
		if told != err.Error() {
			n.log.Error("the certificate cannot be read again; the former one stays in force", "file", g.cfg.TLS.Cert, "err", err)
			f := n.reloadFact("the files of the certificate", "certificate-refused", "the former certificate stays in force")
			n.record(ctx, f.Evidenced("fault", err.Error()))
		}
		return err.Error()
	}
	if sameCertificate(g.tls, cert) {
		return ""
	}
	n.present(ctx, cert)
	return ""
}

// present shows a certificate to new connections from now on; n.reloading is held.
func (n *Node) present(ctx context.Context, cert tls.Certificate) {
	g := n.now()
	next := *g
	next.tls, next.doors, next.then, next.undo = tlsConfig(cert), map[server.Kind]server.Config{}, nil, nil
	for k := range g.doors {
		next.doors[k] = n.doorConfig(&next, k)
	}
	n.current.Store(&next)
	for _, d := range n.doors.all() {
		if err := d.engine.Use(next.doors[d.kind]); err != nil {
			n.log.Error("a listener keeps its former configuration", "at", d.listener.Addr().String(), "err", err)
		}
	}
	leaf := cert.Leaf
	n.certificateLog().Info("a new certificate is in force", "until", leaf.NotAfter)
	f := fact.Reloaded{At: n.o.Now(), Rule: "certificate-renewed", Text: "a new certificate is in force"}.Fact()
	n.record(ctx, f.Evidenced("until", leaf.NotAfter.UTC().Format(time.RFC3339)))
}
