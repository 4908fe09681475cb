package migrate

import (
	"net/netip"
	"strings"
)

// doors are the addresses that the world and our people find this server at.
type doors struct {
	mx, submission, submissions []string
	verdicts                    map[int]noted // of services of master.cf, by their line
}

// listeners reads which doors master.cf opens, at the addresses of main.cf.
func (im *importer) listeners() {
	im.doors.verdicts = map[int]noted{}
	hosts := im.interfaces()
	if im.master == "" {
		im.doors.mx = at(hosts, "25")
		return
	}
	for _, s := range im.services {
		if s.Type == "inet" && (s.Command == "smtpd" || s.Command == "postscreen") {
			im.doors.verdicts[s.Line] = im.door(s, hosts)
		}
	}
	if im.yes("smtpd_sasl_auth_enable") && len(im.doors.submission)+len(im.doors.submissions) == 0 {
		im.beside("smtpd_sasl_auth_enable", "yes", Lost, TopicDoors,
			"people signed in on port 25, which nobody does here: add listen.submission and listen.submissions with a certificate, and tell them")
	}
}

// interfaces reads the addresses of inet_interfaces, of the families of inet_protocols.
func (im *importer) interfaces() (hosts []string) {
	protocols := Words(strings.ToLower(im.value("inet_protocols")))
	four := contains(protocols, "all") || contains(protocols, "ipv4")
	six := contains(protocols, "all") || contains(protocols, "ipv6")
	add := func(v4, v6 string) {
		if four && !contains(hosts, v4) {
			hosts = append(hosts, v4)
		}
		if six && !contains(hosts, v6) {
			hosts = append(hosts, v6)
		}
	}
	im.note("inet_interfaces", Carried, TopicDoors, "the addresses of [listen]")
	for _, a := range Words(im.value("inet_interfaces")) {
		ip, err := netip.ParseAddr(strings.Trim(a, "[]"))
		switch {
		case a == "all":
			add("0.0.0.0", "[::]")
		case a == "loopback-only" || a == "localhost":
			add("127.0.0.1", "[::1]")
		case err != nil:
			im.note("inet_interfaces", Lost, TopicDoors, "%s is no address; write the addresses into [listen]", shown(a))
		case ip.Is4() && four:
			hosts = append(hosts, ip.String())
		case ip.Is6() && six:
			hosts = append(hosts, "["+ip.String()+"]")
		}
	}
	return hosts
}

// at gives each host a port.
func at(hosts []string, port string) []string {
	out := make([]string, len(hosts))
	for i, h := range hosts {
		out[i] = h + ":" + port
	}
	return out
}

// portOf reads the port of a service; "" for one that is not known.
func portOf(name string) string {
	if p, ok := map[string]string{"smtp": "25", "submission": "587", "smtps": "465", "submissions": "465", "ssmtp": "465", "urd": "465", "lmtp": "24"}[name]; ok {
		return p
	}
	if name == "" || strings.Trim(name, "0123456789") != "" {
		return ""
	}
	return name
}

// door says what becomes of a port on which strangers or people are received, and opens it.
func (im *importer) door(s Service, hosts []string) noted {
	host, name := "", s.Name
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		host, name = s.Name[:i], s.Name[i+1:]
	}
	if host != "" {
		ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
		switch {
		case host == "localhost":
			host, hosts = "127.0.0.1", []string{"127.0.0.1"}
		case err != nil:
			return noted{Lost, TopicDoors, shown(host) + " is no address; write it into [listen]"}
		case ip.Is6():
			hosts = []string{"[" + ip.String() + "]"}
		default:
			hosts = []string{ip.String()}
		}
	}
	port := portOf(name)
	if port == "" {
		return noted{Lost, TopicDoors, "the port " + shown(name) + " is not known here; write it into [listen]"}
	}
	ask := func(param string) string {
		if v, given := s.Option(param); given {
			v, _ = im.p.expand(v, 0)
			return strings.ToLower(v)
		}
		return strings.ToLower(im.value(param))
	}
	filter, own := s.Option("content_filter")
	if own && filter == "" && (im.value("content_filter") != "" || onlyLoopback(host) && host != "") ||
		ask("smtpd_authorized_xforward_hosts") != "" && port != "25" {
		return noted{
			Lost, TopicFilters,
			"a filter gave mail back here; a filter is asked during the session instead (docs/guides/rspamd.md), and needs no door",
		}
	}
	wrapped := ask("smtpd_tls_wrappermode") == "yes"
	people := wrapped || port == "465" || port == "587" || ask("smtpd_sasl_auth_enable") == "yes" && port != "25"
	switch {
	case !people:
		im.doors.mx = append(im.doors.mx, at(hosts, port)...)
		return noted{Carried, TopicDoors, "listen.mx at port " + port + ": strangers come in by it, and nobody signs in"}
	case im.cert == "":
		return noted{
			Lost, TopicDoors,
			"people sign in under TLS alone, and there is no certificate: write [tls] or [acme], and listen.submission",
		}
	case wrapped || port == "465":
		im.doors.submissions = append(im.doors.submissions, at(hosts, port)...)
		return noted{Carried, TopicDoors, "listen.submissions at port " + port + ": TLS from the first octet, and signing in, always"}
	}
	im.doors.submission = append(im.doors.submission, at(hosts, port)...)
	return noted{Carried, TopicDoors, "listen.submission at port " + port + ": STARTTLS, then signing in, always"}
}
