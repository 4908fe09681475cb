package node

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"

	"sallyport/internal/dnsx"
	"sallyport/internal/kit/httpd"
	"sallyport/internal/tlspolicy/mtasts"
)

var errNoCertificate = errors.New("there is no certificate")

// ownPolicy is the policy of every domain of ours: this host is its mail exchanger.
func (n *Node) ownPolicy() mtasts.Policy {
	c := n.config().TLSPolicy
	p := mtasts.Policy{Mode: mtasts.ModeTesting, MaxAge: c.MaxAge, MX: []mtasts.Pattern{{Name: dnsx.NameOf(n.config().Hostname)}}}
	switch c.Mode {
	case mtasts.ModeEnforce.String():
		p.Mode = mtasts.ModeEnforce
	case mtasts.ModeNone.String():
		p.Mode = mtasts.ModeNone
	}
	return p
}

// policyParts serves our own policy, at every address that it has.
func (n *Node) policyParts() []part {
	at := n.listeners.Of(servicePolicies)
	if len(at) == 0 {
		return nil
	}
	// Policy and certificate are those of the moment, also after a reload.
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mtasts.Server{Ours: n.ours, Policy: n.ownPolicy()}.ServeHTTP(w, r)
	})
	secure := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if cfg := n.now().tls; cfg != nil {
			return cfg, nil
		}
		return nil, errNoCertificate
	}}
	o := httpd.Options{Limits: httpd.DefaultLimits(), Handler: handler, TLS: secure, Logger: n.log, Level: slog.LevelDebug}
	return []part{{"MTA-STS policy", func(ctx context.Context) error { return httpd.Serve(ctx, o, at...) }}}
}
