package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
)

// Delivery says where the mail of a domain of ours goes: what domain.NAME.deliver
// says. The zero value is nowhere. It is comparable.
type Delivery struct {
	Kind     directory.Deliver
	Host     string // of a server behind us: name, or IP address without brackets
	Port     uint16
	Path     string // of its Unix socket, in place of Host and Port
	Implicit bool   // TLS from the first octet. RFC 8314
}

// Behind reports whether a server behind us takes the mail.
func (d Delivery) Behind() bool { return d.Kind.Behind() }

// String returns the delivery as it is written in the configuration.
func (d Delivery) String() string {
	at := net.JoinHostPort(d.Host, strconv.Itoa(int(d.Port)))
	switch {
	case d.Kind == directory.DeliverMaildir:
		return "maildir"
	case d.Kind == directory.DeliverLMTP && d.Path != "":
		return "lmtp+unix://" + d.Path
	case d.Kind == directory.DeliverLMTP:
		return "lmtp://" + at
	case d.Kind == directory.DeliverSMTP && d.Implicit:
		return "smtps://" + at
	case d.Kind == directory.DeliverSMTP:
		return "smtp://" + at
	}
	return "nowhere"
}

// ParseDelivery reads what domain.NAME.deliver may say: "maildir",
// "lmtp://host:port", "lmtp+unix:///path", "smtp://host:port" or
// "smtps://host:port". Ports are 24, 25 and 465 where none is given. The error says
// in words what is wrong and how it is written.
func ParseDelivery(text string) (Delivery, error) {
	d, message, hint := parseDelivery(text)
	if message != "" {
		return Delivery{}, errors.New(message + "; " + hint)
	}
	return d, nil
}

// NewDomain returns a domain with a way of delivery, and the defaults of all its
// other keys: what a table with nothing but deliver gives. The error is that of
// ParseDelivery.
func NewDomain(name mail.Domain, deliver string) (Domain, error) {
	to, err := ParseDelivery(deliver)
	if err != nil {
		return Domain{}, err
	}
	var d Domain
	block(&source{}, nil, domainKeys(), &d)
	d.Name, d.Deliver = name, to
	d.complete()
	return d, nil
}

const deliveryHint = `write "maildir", or a server behind this one: "lmtp://127.0.0.1:24", "lmtp+unix:///run/dovecot/lmtp", "smtp://10.0.0.5:25" or "smtps://mail.example.org:465"`

func parseDelivery(text string) (d Delivery, message, hint string) {
	if text == "maildir" {
		return Delivery{Kind: directory.DeliverMaildir}, "", ""
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return d, "this way of delivery is unknown", deliveryHint
	}
	switch strings.ToLower(scheme) {
	case "lmtp+unix":
		return parseSocket(rest)
	case "lmtp":
		d = Delivery{Kind: directory.DeliverLMTP, Port: 24}
	case "smtp":
		d = Delivery{Kind: directory.DeliverSMTP, Port: 25}
	case "smtps":
		d = Delivery{Kind: directory.DeliverSMTP, Port: 465, Implicit: true}
	default:
		return d, "this way of delivery is unknown: " + scheme, deliveryHint
	}
	d.Host, d.Port, message = parseAuthority(text, d.Port)
	switch {
	case message != "" && d.Kind == directory.DeliverLMTP && strings.HasPrefix(rest, "/"):
		return Delivery{}, "this names no host", `a socket is written "lmtp+unix://` + rest + `"`
	case message != "":
		return Delivery{}, message, deliveryHint
	case d.Kind == directory.DeliverLMTP && d.Port == 25:
		// RFC 2033 §5: LMTP must not be spoken on port 25.
		return Delivery{}, "LMTP is never spoken on port 25", `write "smtp://` + rest + `" if this server speaks SMTP`
	}
	return d, "", ""
}

// maxSocketPath is what the address of a Unix socket holds.
const maxSocketPath = 107

func parseSocket(p string) (d Delivery, message, hint string) {
	const example = `write it as "lmtp+unix:///run/dovecot/lmtp"`
	switch {
	case !strings.HasPrefix(p, "/") || !mail.IsPlain(p) || strings.ContainsAny(p, "%?#"):
		return d, "this names no socket by its whole path", example
	case len(p) > maxSocketPath:
		return d, "this path is longer than that of a socket may be", "the system allows " + strconv.Itoa(maxSocketPath) + " octets"
	}
	return Delivery{Kind: directory.DeliverLMTP, Path: path.Clean(p)}, "", ""
}

// parseAuthority reads the host and the port of a URL that has nothing else.
func parseAuthority(text string, port uint16) (host string, _ uint16, message string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return "", 0, "this is no URL of a server"
	case u.User != nil:
		return "", 0, "a URL is no place for a password"
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return "", 0, "a server is only a host and a port"
	}
	if u.Port() != "" {
		p, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || p == 0 {
			return "", 0, "the port is none of 1 to 65535"
		}
		port = uint16(p)
	}
	host, message = parseHopHost(u.Hostname())
	return host, port, message
}

// leadsHere reports whether a host and port are one of our own listeners, as far
// as that can be seen without the DNS.
func (c *Config) leadsHere(host string, port uint16) bool {
	ip, err := netip.ParseAddr(host)
	for _, l := range c.listeners() {
		switch {
		case l.Port() != port || l.Port() == 0:
		case err == nil && (l.Addr() == ip || l.Addr().IsUnspecified() && ip.IsLoopback()):
			return true
		case host == "localhost" && (l.Addr().IsLoopback() || l.Addr().IsUnspecified()):
			return true
		case host == c.Hostname.ASCII():
			return true
		}
	}
	return false
}
