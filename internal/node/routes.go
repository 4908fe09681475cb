package node

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"sallyport/internal/config"
	"sallyport/internal/deliver"
	"sallyport/internal/deliver/route"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/smtpc"
)

// routes holds one target for each configured route.
type routes struct {
	targets map[directory.Route]*route.Target
}

func newRoutes(cfg config.Config, o Options) (*routes, error) {
	r := &routes{targets: map[directory.Route]*route.Target{}}
	for i, known := range directoryConfig(cfg).Routes {
		target, err := newRoute(cfg, cfg.Routes[i], o)
		if err != nil {
			r.close()
			return nil, err
		}
		r.targets[known] = target
	}
	return r, nil
}

func routeName(d mail.Domain) string {
	if d.IsZero() {
		return "*"
	}
	return d.ASCII()
}

func newRoute(cfg config.Config, c config.Route, o Options) (*route.Target, error) {
	key := "route." + routeName(c.Domain)
	roots, err := loadRoots(c.CA)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.At(key+".ca"), err)
	}
	l := route.DefaultLimits()
	l.Connections, l.Messages = c.Connections, c.Messages
	l.Start = min(l.Start, l.Connections)
	opts := route.Options{
		Host: c.Host, Port: c.Port, Hello: cfg.Hostname, TLS: clientTLS(c.TLS), Roots: roots, Dial: o.Dial,
		Timeouts: smtpc.DefaultTimeouts(), SMTP: smtpc.DefaultLimits(), Limits: l, Now: o.Now, Logger: o.Logger,
	}
	if c.User != "" {
		opts.Credentials = func() (smtpc.Credentials, error) {
			// Read for each connection, so that a new password needs no restart.
			b, err := os.ReadFile(c.PasswordFile)
			return smtpc.Credentials{User: c.User, Password: strings.TrimRight(string(b), "\r\n")}, err
		}
	}
	target, err := route.New(opts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.At(key+".to"), err)
	}
	return target, nil
}

func loadRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New(file + " holds no certificate")
	}
	return pool, nil
}

// clientTLS maps what is not decided to what refuses.
func clientTLS(m config.TLSMode) smtpc.TLSMode {
	switch m {
	case config.TLSNone:
		return smtpc.TLSNone
	case config.TLSOpportunistic:
		return smtpc.TLSOpportunistic
	case config.TLSRequired:
		return smtpc.TLSRequired
	case config.TLSImplicit:
		return smtpc.TLSImplicit
	}
	return smtpc.TLSUndecided
}

// target returns the target of a route; for one that nobody configured, a target
// that defers everything.
func (r *routes) target(known directory.Route) deliver.Target {
	if t, ok := r.targets[known]; ok {
		return t
	}
	return noRoute{}
}

func (r *routes) close() {
	for _, t := range r.targets {
		_ = t.Close()
	}
}

// noRoute defers: a route that vanished may come back.
type noRoute struct{}

func (noRoute) Deliver(_ context.Context, j deliver.Job) []mail.Outcome {
	return j.All(mail.R(451, "4.4.4", "the route is not configured any more"), "sallyport")
}
