package config

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"sallyport/internal/mail"
)

// Each parse function returns its value, or what is wrong in words and a hint.

func parseHost(text string) (d mail.Domain, message, hint string) {
	d, err := mail.ParseHostname(text)
	if err != nil {
		return d, "this is no host name: " + reason(err), `write it as "mx.example.org"`
	}
	if !strings.Contains(d.ASCII(), ".") && d.ASCII() != "localhost" {
		return d, "this host name has only one label", `write it in full, as in "mx.example.org"`
	}
	return d, "", ""
}

// How long the texts of the configuration may be, in octets. What a protocol bounds has its bound;
// the others are longer than any right one, so that a file that was pasted into the wrong place is
// a fault of its line.
const (
	mostPath      = 4096 // octets of a path; Linux: PATH_MAX
	mostURL       = 2048 // octets of a URL that is asked or told something
	mostNotice    = 200  // octets of a text that is added to a reply, which has 512 at most. RFC 5321 §4.5.3.1.5
	mostLogName   = 200  // octets of the name of a log, with which each of its checkpoints begins
	mostUserName  = 254  // octets of a name with which this server signs in elsewhere: any address may be one. RFC 5321 §4.5.3.1.3
	mostClientID  = 254  // octets of a client_id of OAuth, whose size no standard says. RFC 6749 §2.2
	mostScope     = 1000 // octets of scopes of OAuth, with the blanks between them. RFC 6749 §3.3
	mostClaim     = 100  // octets of the name of a claim in a token. RFC 7519 §4
	mostUnixName  = 256  // octets of the name of a user or a group of this host; Linux: LOGIN_NAME_MAX
	mostFieldName = 76   // octets of the name of a header field, which must fit into a line of 78 with its colon. RFC 5322 §2.1.1
	mostWord      = 40   // letters of a name that is given to something within the configuration
)

func parsePath(text string) (path, message, hint string) {
	switch {
	case text == "":
		return "", "this path is empty", "remove the key, or name a file"
	case len(text) > mostPath || strings.ContainsRune(text, 0):
		return "", "this is no path", "name a file or folder in at most 4096 octets"
	}
	return text, "", ""
}

func parseMailbox(text string) (a mail.Address, message, hint string) {
	a, err := mail.ParseAddress(text, mail.UTF8)
	if err != nil {
		hint = `write it as "alice@example.org"`
		if strings.ContainsAny(text, "<>") {
			hint = "write it without angle brackets and without a name"
		}
		return a, "this is no address: " + reason(err), hint
	}
	if _, literal := a.Literal(); literal {
		return a, "an address literal is no mailbox of ours", "write the domain's name"
	}
	return a, "", ""
}

func parseNotice(text string) (notice, message, hint string) {
	if len(text) > mostNotice {
		return "", "this text is longer than 200 characters", "shorten it"
	}
	if !mail.IsPlain(text) {
		return "", "this text must be printable ASCII in one line", "leave out letters with marks and ends of lines"
	}
	return text, "", ""
}

func parseUser(text string) (user, message, hint string) {
	if text == "" || len(text) > mostUserName || strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return "", "this is no user name of 1 to 254 characters", "remove the key where the next hop asks for none"
	}
	return text, "", ""
}

// parseOrigin refuses what the first line of a checkpoint cannot carry.
func parseOrigin(text string) (origin, message, hint string) {
	if text == "" || len(text) > mostLogName || !mail.IsPlain(text) || strings.ContainsAny(text, " +") {
		return "", "this is no name of 1 to 200 characters without spaces and plus signs", `write it as "mx.example.org/sallyport"`
	}
	return text, "", ""
}

func parseDetail(text string) (c byte, message, hint string) {
	switch text {
	case "+", "-", "=":
		return text[0], "", ""
	case "off":
		return 0, "", ""
	}
	return 0, "this separator is unknown", `write "+", "-", "=" or "off"`
}

func parseIP(text string) (ip netip.Addr, message, hint string) {
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() {
		return ip, "this is no single IP address", `write it as "192.0.2.1" or "2001:db8::1"`
	}
	return ip.Unmap(), "", ""
}

func parseSwitch(text string) (on bool, message, hint string) {
	switch text {
	case "on":
		return true, "", ""
	case "off":
		return false, "", ""
	}
	return false, "this is neither on nor off", `write "on" or "off"`
}

func parseServer(text string) (ap netip.AddrPort, message, hint string) {
	ap, err := parseAddrPort(text)
	if err != nil || ap.Port() == 0 || ap.Addr().IsUnspecified() || ap.Addr().IsMulticast() {
		return ap, "this is no IP:port of a name server", `write it as "127.0.0.1:53" or "[::1]:53"`
	}
	return ap, "", ""
}

func parseNetwork(text string) (p netip.Prefix, message, hint string) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, "this is no network", `write it as "10.0.0.0/8" or "fd00::/8"`
	case p.Addr().Is4In6(): // clients are compared as what they are, so that it would fit nobody
		return p, "this is a network of IPv4 written as one of IPv6", "write it as one of IPv4"
	case p != p.Masked():
		return p, "this network has bits behind its prefix", `write it as "` + p.Masked().String() + `"`
	}
	return p, "", ""
}

// parseAddrPort parses an address with a port. One of IPv4 is never written as one of IPv6.
func parseAddrPort(text string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(text)
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), err
}

func parseListen(text string) (ap netip.AddrPort, message, hint string) {
	ap, err := parseAddrPort(text)
	if err == nil {
		return ap, "", ""
	}
	message, hint = "this is no IP:port to listen on", `write it as "127.0.0.1:25", "0.0.0.0:25" or "[::]:25"`
	if port, found := strings.CutPrefix(text, ":"); found {
		hint = `name the address too: "0.0.0.0:` + port + `" is all of IPv4, "[::]:` + port + `" all of IPv6`
	} else if _, err := netip.ParseAddr(text); err == nil {
		hint = `add the port`
	} else if strings.HasPrefix(text, "localhost:") {
		hint = `write "127.0.0.1` + strings.TrimPrefix(text, "localhost") + `"`
	}
	return ap, message, hint
}

func parseTLSMode(text string) (m mail.TLSMode, message, hint string) {
	switch text {
	case "none":
		return mail.TLSNone, "", ""
	case "opportunistic":
		return mail.TLSOpportunistic, "", ""
	case "required":
		return mail.TLSRequired, "", ""
	}
	return 0, "this kind of TLS is unknown", `write "none", "opportunistic" or "required"`
}

func parseMechanism(text string) (m, message, hint string) {
	switch text {
	case "EXTERNAL", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2":
		return text, "", ""
	}
	return "", "this mechanism is unknown", "write EXTERNAL, SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN, LOGIN, OAUTHBEARER or XOAUTH2"
}

// Hop is what the URL of a next hop says.
type Hop struct {
	Host     string
	Port     uint16
	Implicit bool // TLS from the first octet
}

// parseHop reads smtp://host[:port] or smtps://host[:port].
func parseHop(text string) (h Hop, message, hint string) {
	const example = `write it as "smtp://mail.example.net:25" or "smtps://mail.example.net:465"`
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return h, "this is no URL of a next hop", example
	}
	switch u.Scheme {
	case "smtp":
		h.Port = 25
	case "smtps":
		h.Port, h.Implicit = 465, true
	default:
		return h, "this kind of next hop is unknown: " + u.Scheme, example
	}
	if u.User != nil {
		return h, "a URL is no place for a password", "use the keys user and password_file"
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return h, "a next hop is only a host and a port", example
	}
	if u.Port() != "" {
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || port == 0 {
			return h, "the port is none of 1 to 65535", example
		}
		h.Port = uint16(port)
	}
	h.Host, message = parseHopHost(u.Hostname())
	if message != "" {
		return h, message, example
	}
	return h, "", ""
}

// parseHopHost returns the host in canonical form.
func parseHopHost(text string) (host, message string) {
	if ip, err := netip.ParseAddr(text); err == nil {
		if ip.Zone() != "" || ip.IsUnspecified() {
			return "", "nobody is reached at this address"
		}
		return ip.Unmap().String(), ""
	}
	d, err := mail.ParseDomain(text)
	if err != nil {
		return "", "this host is no host name: " + reason(err)
	}
	return d.ASCII(), ""
}

func readTo(s *source, _ Key, n *node, r *Route) {
	text, ok := s.str(n)
	if !ok {
		return
	}
	h, message, hint := parseHop(text)
	if message != "" {
		s.fault(n.meant(), s.literal(n.meant()), message, hint)
		return
	}
	r.Host, r.Port = h.Host, h.Port
	if h.Implicit {
		r.TLS = mail.TLSImplicit
	}
}

// parseTokenURL refuses an endpoint to which a secret would go in clear text over a network.
func parseTokenURL(text string) (u, message, hint string) {
	const example = `write it as "https://login.example.net/oauth2/token"`
	at, err := url.Parse(text)
	if err != nil || at.Host == "" || at.Opaque != "" || at.Fragment != "" || len(text) > mostURL ||
		strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", "this is no URL of a token endpoint", example
	}
	if at.User != nil {
		return "", "a URL is no place for a secret", "use the keys client_id and client_secret_file"
	}
	ip, _ := netip.ParseAddr(at.Hostname()) // a name is no loopback
	switch {
	case at.Scheme == "https", at.Scheme == "http" && ip.IsLoopback():
		return text, "", ""
	case at.Scheme == "http":
		return "", "the client's secret would go over the network in clear text", `write "https://…"`
	}
	return "", "this kind of endpoint is unknown: " + at.Scheme, example
}

// parseClientID is RFC 6749, Appendix A.1.
func parseClientID(text string) (id, message, hint string) {
	if text == "" || len(text) > mostClientID || !mail.IsPlain(text) {
		return "", "this is no client_id of 1 to 254 printable characters", "the authorization server shows it where the client was registered"
	}
	return text, "", ""
}

// parseScope is RFC 6749 §3.3.
func parseScope(text string) (scope, message, hint string) {
	if text == "" || len(text) > mostScope || !mail.IsPlain(text) || strings.ContainsAny(text, `"\\`) {
		return "", "these are no scopes of 1 to 1000 printable characters", `write them with blanks between, as in "https://outlook.office365.com/.default"`
	}
	return text, "", ""
}

func parseTokenAuth(text string) (header bool, message, hint string) {
	switch text {
	case "body":
		return false, "", ""
	case "header":
		return true, "", ""
	}
	return false, "this place is unknown", `write "body" or "header"`
}

// reason returns why a value is none of the vocabulary, without repeating it.
func reason(err error) string {
	var se *mail.SyntaxError
	if errors.As(err, &se) {
		return se.Reason
	}
	return err.Error()
}
