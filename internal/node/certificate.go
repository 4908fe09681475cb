package node

import (
	"bytes"
	"context"
	"crypto/tls"
)

// buildCertificate reads the certificate of every door; there is none where the
// configuration names none. The same certificate keeps its TLS configuration, whose
// tickets clients may still hold.
func (n *Node) buildCertificate(_ context.Context, next, last *generation) error {
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
