package mtasts

import (
	"io"
	"net"
	"net/http"
	"strings"

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
