package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"

	"sallyport/internal/kit/httpd"
)

// alpn is the protocol of tls-alpn-01. RFC 8737 §6.2
const alpn = "acme-tls/1"

var errNoChallenge = errors.New("acme: no challenge is under way")

// answer answers challenges, and nothing else, until ctx ends.
func (k *Keeper) answer(ctx context.Context, ca *authority) error {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if k.o.Challenge != HTTP01 || !ca.issuer.HandleHTTPChallenge(w, r) {
			http.NotFound(w, r)
		}
	})
	o := httpd.Options{Limits: k.o.Limits.httpd(), Handler: handler, Once: true, Logger: k.o.Logger, Level: slog.LevelDebug}
	if k.o.Challenge == TLSALPN01 {
		o.TLS = challengeTLS(ca) // what agrees to alpn is closed after its handshake
	}
	return httpd.Serve(ctx, o, k.o.Listeners...)
}

// challengeTLS completes the handshakes of challenges, and of nobody else.
func challengeTLS(ca *authority) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{alpn}, // RFC 8737 §4
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != alpn {
				return nil, errNoChallenge
			}
			return ca.config.GetCertificate(hello)
		},
	}
}
