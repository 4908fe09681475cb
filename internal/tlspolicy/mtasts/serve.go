package mtasts

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/kit/httpd"
	"sallyport/internal/mail"
)

// Server serves the policy of our own domains over HTTP, which must be under TLS.
// RFC 8461 §3.3. It knows one path below one host name for each domain; everything else
// is not found, and no answer repeats what was asked.
type Server struct {
	Ours   func(mail.Domain) bool
	Policy Policy
}

var _ http.Handler = Server{}

// ServeHTTP implements http.Handler.
func (s Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case !s.known(r.Host) || r.URL.Path != Path || r.URL.RawPath != "":
		w.WriteHeader(http.StatusNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		_, _ = io.WriteString(w, s.Policy.String()) // a client that leaves is its own loss
	}
}

// known reports whether the host is the policy host of a domain of ours.
func (s Server) known(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	name, ok := strings.CutPrefix(strings.ToLower(host), Host)
	if !ok {
		return false
	}
	d, err := mail.ParseDomain(name)
	return err == nil && s.Ours(d)
}

// Own is the policy of every domain of ours, whose exchanger is this host: mode is the word
// of the configuration, of which one that is not known only tests.
func Own(host mail.Domain, mode string, maxAge time.Duration) Policy {
	p := Policy{Mode: ModeTesting, MaxAge: maxAge, MX: []Pattern{{Name: dnsx.NameOf(host)}}}
	for _, m := range []Mode{ModeEnforce, ModeNone} {
		if m.String() == mode {
			p.Mode = m
		}
	}
	return p
}

// HostOf returns where the policy of a domain is served; false: it is too long.
func HostOf(d mail.Domain) (mail.Domain, bool) {
	host, err := mail.ParseDomain(Host + d.ASCII())
	return host, err == nil
}

var errNoCertificate = errors.New("mtasts: there is no certificate")

// Serve serves our own policy at listeners until ctx ends. policy and secure are asked each
// time, so that both are those of the moment; a nil secure refuses the connection. others answers
// what is asked of other hosts than those of policies; it may be nil.
func Serve(ctx context.Context, ours func(mail.Domain) bool, policy func() Policy, others http.Handler,
	secure func() *tls.Config, log *slog.Logger, at ...net.Listener) error {
	return httpd.Serve(ctx, httpd.Options{
		Limits: httpd.DefaultLimits(), Logger: log, Level: slog.LevelDebug,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if others != nil && !strings.HasPrefix(strings.ToLower(r.Host), Host) {
				others.ServeHTTP(w, r)
				return
			}
			Server{Ours: ours, Policy: policy()}.ServeHTTP(w, r)
		}),
		TLS: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if c := secure(); c != nil {
				return c, nil
			}
			return nil, errNoCertificate
		}},
	}, at...)
}
