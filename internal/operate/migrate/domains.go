package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// own returns a domain of ours, and makes it where it is missing; nil for what is none.
func (im *importer) own(name, deliver string) *domain {
	d, err := mail.ParseHostname(strings.TrimSuffix(name, "."))
	if err != nil || !strings.Contains(d.ASCII(), ".") || d.ASCII() == "localhost.localdomain" || strings.HasPrefix(d.ASCII(), "localhost.") {
		return nil
	}
	for _, o := range im.domains {
		if o.name == d.ASCII() {
			return o
		}
	}
	o := &domain{name: d.ASCII(), deliver: deliver}
	im.domains = append(im.domains, o)
	return o
}

func (im *importer) ours(name string) *domain {
	for _, o := range im.domains {
		if strings.EqualFold(o.name, name) {
			return o
		}
	}
	return nil
}

// names returns the domains that a parameter lists, with those of its tables and files.
func (im *importer) names(param string) (names []string, good bool) {
	good = true
	for _, w := range Words(im.value(param)) {
		switch {
		case strings.HasPrefix(w, "/"):
			text, err := im.read(w)
			if err != nil {
				im.note(param, Lost, "%v", err)
				good = false
				continue
			}
			for _, l := range logicalLines(string(text)) {
				names = append(names, strings.Fields(l.text)[0])
			}
		case strings.Contains(w, ":") && !strings.HasPrefix(w, "["):
			entries, err := im.p.Table(w, im.read)
			if err != nil {
				im.note(param, Lost, "%v", err)
				good = false
			}
			for _, e := range entries {
				names = append(names, strings.TrimPrefix(e.Key, "@"))
			}
		default:
			names = append(names, w)
		}
	}
	return names, good
}

func (im *importer) localDomains() {
	names, good := im.names("mydestination")
	var taken []string
	for _, n := range names {
		if d := im.own(n, "maildir"); d != nil {
			taken = append(taken, d.name)
		} else {
			im.loopback = append(im.loopback, strings.ToLower(n))
		}
	}
	im.local = taken
	if good {
		im.note("mydestination", Carried, "a [domain] each, delivered to Maildir: %s (localhost is no domain of the net)", none(taken))
	}
}

func none(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	if len(list) > 10 {
		return strings.Join(list[:10], ", ") + fmt.Sprintf(" and %d more", len(list)-10)
	}
	return strings.Join(list, ", ")
}

// virtualDomains are those of mailboxes, which virtual_transport delivers, and those
// of aliases alone.
func (im *importer) virtualDomains() {
	transport := im.value("virtual_transport")
	deliver, why := inner(transport)
	if deliver == "" {
		deliver = "maildir"
		im.note("virtual_transport", Lost, "%s; the domains are delivered to Maildir until you write their deliver", why)
	} else {
		im.note("virtual_transport", Carried, "deliver = %q", deliver)
	}
	if _, given := im.p.Given("virtual_mailbox_domains"); given {
		names, good := im.names("virtual_mailbox_domains")
		for _, n := range names {
			im.own(n, deliver)
		}
		if good {
			im.note("virtual_mailbox_domains", Carried, "a [domain] each: %s", none(names))
		}
	}
	if _, given := im.p.Given("virtual_alias_domains"); given {
		names, good := im.names("virtual_alias_domains")
		for _, n := range names {
			im.own(n, "maildir")
		}
		if good {
			im.note("virtual_alias_domains", Carried, "a [domain] each: %s", none(names))
		}
	} else {
		im.aliasDomains()
	}
	im.mailboxes(deliver)
}

// aliasDomains are those that virtual_alias_maps itself names, by an entry such as
// "shop.example anything" beside those of the domain's addresses: virtual_alias_domains
// defaults to that table. virtual(5).
func (im *importer) aliasDomains() {
	if _, given := im.p.Given("virtual_alias_maps"); !given {
		return
	}
	hosts := map[string]bool{}
	var plain []string
	for _, spec := range Words(im.value("virtual_alias_maps")) {
		entries, _ := im.p.Table(spec, im.read) // what cannot be read is told of with the aliases
		for _, e := range entries {
			if _, host, found := strings.Cut(strings.ToLower(e.Key), "@"); found {
				hosts[host] = true
			} else {
				plain = append(plain, strings.ToLower(e.Key))
			}
		}
	}
	for _, n := range plain {
		if hosts[n] { // else it may be a local name with dots
			im.own(n, "maildir")
		}
	}
}

// atHome replaces a name of this host for itself, which is local, by the domain that names
// without one are in.
func (im *importer) atHome(address string) string {
	if name, host, found := strings.Cut(address, "@"); found && name != "" && slices.Contains(im.loopback, strings.ToLower(host)) {
		return name + "@" + im.home()
	}
	return address
}

// mailboxes tells of the people whom virtual_mailbox_maps lists.
func (im *importer) mailboxes(deliver string) {
	if _, given := im.p.Given("virtual_mailbox_maps"); !given {
		return
	}
	people := 0
	for _, spec := range Words(im.value("virtual_mailbox_maps")) {
		entries, err := im.p.Table(spec, im.read)
		if err != nil {
			im.note("virtual_mailbox_maps", Lost, "%v", err)
			return
		}
		for _, e := range entries {
			a, err := mail.ParseAddress(e.Key, mail.UTF8)
			if err != nil {
				im.entry(e, Lost, "it is no address of one mailbox")
				continue
			}
			im.own(a.Domain().ASCII(), deliver)
			im.people = append(im.people, a.String())
			people++
		}
	}
	im.note("virtual_mailbox_maps", Carried, "%d mailboxes: make an account for each who signs in, with 'sallyport account add'; mail that lies in the old mailboxes stays there", people)
}

// inner is how a transport of Postfix delivers to a server behind us.
func inner(transport string) (deliver, why string) {
	kind, hop, _ := strings.Cut(transport, ":")
	switch {
	case kind == "virtual" || kind == "local":
		return "maildir", ""
	case kind == "lmtp" && strings.HasPrefix(hop, "unix:"):
		path := strings.TrimPrefix(hop, "unix:")
		if !strings.HasPrefix(path, "/") {
			path = "/var/spool/postfix/" + path
		}
		return "lmtp+unix://" + path, ""
	case kind == "lmtp":
		if at := hostPort(strings.TrimPrefix(hop, "inet:"), "24"); at != "" {
			return "lmtp://" + at, ""
		}
	case kind == "smtp" || kind == "relay":
		if at := hostPort(strings.TrimPrefix(hop, "inet:"), "25"); at != "" {
			return "smtp://" + at, ""
		}
		return "", transport + " names no host to deliver to"
	}
	return "", fmt.Sprintf("%s runs a program or a service of Postfix", cmp.Or(transport, "the transport"))
}

// hostPort reads [host]:port, host:port or host.
func hostPort(s, port string) string {
	s = strings.TrimSpace(s)
	host, rest := s, ""
	if strings.HasPrefix(s, "[") {
		var found bool
		if host, rest, found = strings.Cut(s[1:], "]"); !found {
			return ""
		}
		rest = strings.TrimPrefix(rest, ":")
	} else if strings.Count(s, ":") == 1 {
		host, rest, _ = strings.Cut(s, ":")
	}
	host = strings.TrimPrefix(host, "ipv6:")
	switch rest {
	case "":
	case "submission":
		port = "587"
	case "smtps", "submissions":
		port = "465"
	case "smtp":
		port = "25"
	default:
		port = rest
	}
	if host == "" || strings.ContainsAny(host, " /$") || strings.Trim(port, "0123456789") != "" {
		return ""
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + port
}

// relayDomains are those of servers behind us.
func (im *importer) relayDomains() {
	if _, given := im.p.Given("relay_domains"); !given {
		return
	}
	names, good := im.names("relay_domains")
	for _, n := range names {
		if im.own(n, "") == nil {
			im.note("relay_domains", Lost, "%s is no domain", mail.Printable(n, 80))
			good = false
		}
	}
	if good {
		im.note("relay_domains", Carried, "a [domain] each, in front of the server that transport_maps names: %s", none(names))
	}
	if _, given := im.p.Given("relay_recipient_maps"); !given {
		return
	}
	for _, spec := range Words(im.value("relay_recipient_maps")) {
		entries, err := im.p.Table(spec, im.read)
		if err != nil {
			im.note("relay_recipient_maps", Lost, "%v; without a list, the server behind is asked at RCPT", err)
			return
		}
		for _, e := range entries {
			a, err := mail.ParseAddress(e.Key, mail.UTF8)
			if err != nil {
				im.entry(e, Lost, "it is no recipient; a whole domain is asked for at RCPT instead")
				continue
			}
			if d := im.ours(a.Domain().ASCII()); d != nil {
				d.list = append(d.list, a.String())
			}
		}
	}
	im.note("relay_recipient_maps", Carried, "recipients_file of each domain; domains without an entry are asked for at RCPT")
}
