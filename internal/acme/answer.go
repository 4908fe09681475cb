package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"

	"golang.org/x/net/netutil"
)

// alpn is the protocol of tls-alpn-01. RFC 8737 §6.2
const alpn = "acme-tls/1"

var errNoChallenge = errors.New("acme: no challenge is under way")

// answer answers challenges at one address, and nothing else, until ctx ends.
func (k *Keeper) answer(ctx context.Context, ln net.Listener, ca *authority) error {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if k.o.Challenge != HTTP01 || !ca.issuer.HandleHTTPChallenge(w, r) {
			http.NotFound(w, r)
		}
	})
	limited := netutil.LimitListener(ln, k.o.Limits.Connections)
	if k.o.Challenge == TLSALPN01 {
		limited = tls.NewListener(limited, challengeTLS(ca))
	}
	srv := &http.Server{
		Handler: handler, ReadTimeout: k.o.Limits.Challenge, WriteTimeout: k.o.Limits.Challenge, IdleTimeout: k.o.Limits.Challenge, MaxHeaderBytes: k.o.Limits.Header,
		ErrorLog:     slog.NewLogLogger(k.o.Logger.Handler(), slog.LevelDebug),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){alpn: func(*http.Server, *tls.Conn, http.Handler) {}},
	}
	srv.SetKeepAlivesEnabled(false)
	release := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer release()
	if err := srv.Serve(limited); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
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
