package node

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/named"
	smtpclient "sallyport/internal/smtp/client"
)

// routes holds one target for each configured route.
type routes struct {
	targets map[directory.Route]*named.Target
	made    map[*named.Target]string // of what each was made
}

// buildRoutes makes a target for each route, and takes over those that are the same.
func (n *Node) buildRoutes(_ context.Context, next, last *generation) error {
	former := &routes{}
	if last != nil && last.routes != nil {
		former = last.routes
	}
	next.routes = &routes{targets: map[directory.Route]*named.Target{}, made: map[*named.Target]string{}}
	var errs []error
	for i, known := range directoryConfig(next.cfg).Routes {
		roots, pem, err := loadRoots(next.cfg.Routes[i].CA)
		if err != nil {
			errs = append(errs, next.cfg.Fault("route."+routeName(known.Domain)+".ca", err.Error(), ""))
			continue
		}
		made := fmt.Sprintf("%+v %s %q", next.cfg.Routes[i], next.cfg.Hostname, pem)
		target := former.targets[known]
		if target == nil || former.made[target] != made {
			if target, err = newRoute(next.cfg, next.cfg.Routes[i], roots, n.o); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		next.routes.targets[known], next.routes.made[target] = target, made
	}
	return errors.Join(errs...)
}

// retire ends the targets that heir does not have.
func (r *routes) retire(heir *routes) {
	if r == nil {
		return
	}
	for _, t := range r.targets {
		if heir == nil || heir.made[t] == "" {
			_ = t.Close() // it waits for nobody
		}
	}
}

// routeTarget returns the target of a route as it stands now.
func (n *Node) routeTarget(known directory.Route) nexthop.Target { return n.now().routes.target(known) }

func routeName(d mail.Domain) string {
	if d.IsZero() {
		return "*"
	}
	return d.ASCII()
}

func newRoute(cfg config.Config, c config.Route, roots *x509.CertPool, o Options) (*named.Target, error) {
	key := "route." + routeName(c.Domain)
	l := named.DefaultLimits()
	l.Connections, l.Messages = c.Connections, c.Messages
	l.Start = min(l.Start, l.Connections)
	opts := named.Options{
		Host: c.Host, Port: c.Port, Hello: cfg.Hostname, TLS: clientTLS(c.TLS), Roots: roots, Dial: o.Dial,
		Timeouts: smtpclient.DefaultTimeouts(), SMTP: smtpclient.DefaultLimits(), Limits: l, Now: o.Now, Logger: o.Logger,
	}
	if c.User != "" {
		opts.Credentials = func() (smtpclient.Credentials, error) {
			// Read for each connection, so that a new password needs no restart.
			b, err := os.ReadFile(c.PasswordFile)
			return smtpclient.Credentials{User: c.User, Password: strings.TrimRight(string(b), "\r\n")}, err
		}
	}
	target, err := named.New(opts)
	if err != nil {
		return nil, cfg.Fault(key+".to", err.Error(), "")
	}
	return target, nil
}

// loadRoots reads the authorities of a file; nil, for the system's, where there is
// none.
func loadRoots(file string) (pool *x509.CertPool, pem []byte, err error) {
	if file == "" {
		return nil, nil, nil
	}
	if pem, err = os.ReadFile(file); err != nil {
		return nil, nil, err
	}
	pool = x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, nil, errors.New(file + " holds no certificate")
	}
	return pool, pem, nil
}

// clientTLS maps what is not decided to what refuses.
func clientTLS(m config.TLSMode) smtpclient.TLSMode {
	switch m {
	case config.TLSNone:
		return smtpclient.TLSNone
	case config.TLSOpportunistic:
		return smtpclient.TLSOpportunistic
	case config.TLSRequired:
		return smtpclient.TLSRequired
	case config.TLSImplicit:
		return smtpclient.TLSImplicit
	}
	return smtpclient.TLSUndecided
}

// target returns the target of a route; for one that nobody configured, a target
// that defers everything.
func (r *routes) target(known directory.Route) nexthop.Target {
	if t, ok := r.targets[known]; ok {
		return t
	}
	return noRoute{}
}

// noRoute defers: a route that vanished may come back.
type noRoute struct{}

func (noRoute) Deliver(_ context.Context, j nexthop.Job) []mail.Outcome {
	return j.All(mail.R(451, "4.4.4", "the route is not configured any more"), "sallyport")
}
