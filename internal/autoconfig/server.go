package autoconfig

import (
	"encoding/xml"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"sallyport/internal/mail"
)

// Prefixes of the hosts that programs ask, before the domain.
const (
	thunderbirdPrefix  = "autoconfig."
	autodiscoverPrefix = "autodiscover."
	paccPrefix         = "ua-auto-config."
)

// Where programs ask.
const (
	thunderbirdPath  = "/mail/config-v1.1.xml"
	wellKnownPath    = "/.well-known/autoconfig/mail/config-v1.1.xml"
	autodiscoverPath = "/autodiscover/autodiscover.xml" // in any letter case
	paccPath         = "/.well-known/user-agent-configuration.json"
	applePath        = "/apple.mobileconfig"
)

// maxRequestOctets bounds what Outlook sends; it sends half a KiB.
const maxRequestOctets = 8 << 10

// Hosts returns the names under which programs ask for the settings of a domain.
func Hosts(d mail.Domain) []mail.Domain {
	var all []mail.Domain
	for _, prefix := range []string{thunderbirdPrefix, autodiscoverPrefix, paccPrefix} {
		if host, err := mail.ParseDomain(prefix + d.ASCII()); err == nil {
			all = append(all, host)
		}
	}
	return all
}

// Server answers programs over HTTP, which must be under TLS.
type Server struct {
	Ours     func(mail.Domain) bool
	Settings func(mail.Domain) Settings
}

var _ http.Handler = Server{}

// ServeHTTP implements http.Handler.
func (s Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache")
	domain, prefix, ok := s.asked(r.Host)
	if !ok || r.URL.RawPath != "" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	settings := s.Settings(domain)
	switch path := r.URL.Path; {
	case prefix == thunderbirdPrefix && path == thunderbirdPath, (prefix == "" || prefix == thunderbirdPrefix) && path == wellKnownPath:
		give(w, r, "text/xml; charset=utf-8", settings.Thunderbird())
	case prefix == paccPrefix && path == paccPath:
		give(w, r, "application/json", settings.PACC())
	case prefix == thunderbirdPrefix && path == applePath:
		s.apple(w, r, settings)
	case (prefix == "" || prefix == autodiscoverPrefix) && strings.EqualFold(path, autodiscoverPath):
		s.outlook(w, r, settings)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// asked tells of which domain the host is.
func (s Server) asked(host string) (d mail.Domain, prefix string, ok bool) {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(host)
	for _, prefix = range []string{thunderbirdPrefix, autodiscoverPrefix, paccPrefix, ""} {
		name, found := strings.CutPrefix(host, prefix)
		if !found {
			continue
		}
		if d, err := mail.ParseDomain(name); err == nil && s.Ours(d) {
			return d, prefix, true
		}
	}
	return mail.Domain{}, "", false
}

// give answers GET and HEAD.
func give(w http.ResponseWriter, r *http.Request, kind string, body []byte) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	write(w, kind, body)
}

func write(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body) // a client that leaves is its own loss
}

// apple answers a person who opens the page of the profile with the address.
func (s Server) apple(w http.ResponseWriter, r *http.Request, settings Settings) {
	user, ok := settings.user(r.URL.Query().Get("emailaddress"))
	profile, whole := settings.Apple(user)
	if !ok || !whole {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Disposition", `attachment; filename="mail.mobileconfig"`)
	give(w, r, "application/x-apple-aspen-config", profile)
}

// user reads an address of the domain. Whether it exists is not looked at.
func (s Settings) user(text string) (mail.Address, bool) {
	a, err := mail.ParseAddress(text, mail.UTF8)
	return a, err == nil && a.Domain() == s.Domain
}

// outlook answers Autodiscover: a POST with the address. Others than Outlook's schema there is
// nothing for. [MS-OXDSCLI] §2.2.3
func (s Server) outlook(w http.ResponseWriter, r *http.Request, settings Settings) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	text, err := readRequest(http.MaxBytesReader(w, r.Body, maxRequestOctets))
	user, ok := settings.user(text)
	if err != nil || !ok {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	write(w, "text/xml; charset=utf-8", settings.Autodiscover(user))
}

var errRequest = errors.New("autoconfig: no request that is answered here")

// readRequest reads the address that Outlook asks about.
func readRequest(r io.Reader) (address string, err error) {
	var in struct {
		Request struct {
			EMailAddress             string
			AcceptableResponseSchema string
		}
	}
	if err := xml.NewDecoder(r).Decode(&in); err != nil {
		return "", err
	}
	if in.Request.AcceptableResponseSchema != outlookSpace {
		return "", errRequest
	}
	return strings.TrimSpace(in.Request.EMailAddress), nil
}
