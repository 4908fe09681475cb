package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/tlspolicy/mtasts"
)

// Bounds of the web server of our own policy.
const (
	policyTime        = 10 * time.Second // for a request with its answer
	policyHeader      = 8 << 10          // octets of the header of a request
	policyConnections = 256              // at once; more wait
)

var errNoCertificate = errors.New("there is no certificate")

// listenPolicies binds where our own MTA-STS policy is served.
func (n *Node) listenPolicies(ctx context.Context) error {
	for i, at := range n.config().TLSPolicy.Listen {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false)
		ln, err := lc.Listen(ctx, family(at), at.String())
		if err != nil {
			n.unbindPolicies()
			return fmt.Errorf("%s: %w", n.config().At(fmt.Sprintf("tls_policy.listen[%d]", i)), err)
		}
		n.policiesAt = append(n.policiesAt, ln)
	}
	return nil
}

func (n *Node) unbindPolicies() {
	for _, ln := range n.policiesAt {
		_ = ln.Close()
	}
	n.policiesAt = nil
}

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
func (n *Node) policyParts() (parts []part) {
	// Policy and certificate are those of the moment, also after a reload.
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mtasts.Server{Ours: func(d mail.Domain) bool { return n.dirs.snapshot().IsOurs(d) }, Policy: n.ownPolicy()}.ServeHTTP(w, r)
	})
	secure := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if cfg := n.now().tls; cfg != nil {
			return cfg, nil
		}
		return nil, errNoCertificate
	}}
	for _, ln := range n.policiesAt {
		parts = append(parts, part{"MTA-STS policy " + ln.Addr().String(), func(ctx context.Context) error {
			srv := &http.Server{
				Handler: handler, ReadTimeout: policyTime, WriteTimeout: policyTime, IdleTimeout: policyTime, MaxHeaderBytes: policyHeader,
				ErrorLog:     slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
				TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/1.1 alone
			}
			release := context.AfterFunc(ctx, func() { _ = srv.Close() })
			defer release()
			limited := netutil.LimitListener(ln, policyConnections)
			if err := srv.Serve(tls.NewListener(limited, secure)); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		}})
	}
	return parts
}
