package migrate

import (
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// class is what Postfix takes a domain of ours for. ADDRESS_CLASS_README.
type class uint8

const (
	classNone    class = iota
	classLocal         // mydestination: its names are those of the system's users and of alias_maps
	classAlias         // virtual_alias_domains: its addresses are those of virtual_alias_maps
	classMailbox       // virtual_mailbox_domains
	classRelay         // relay_domains
)

// domain is a domain of ours in the making.
type domain struct {
	name    string
	class   class
	param   string // that named it
	deliver string
	tls     string
	hop     string          // as Postfix writes the next hop
	listed  bool            // a list names its recipients
	list    map[string]bool // they
}

func (im *importer) ours(name string) *domain {
	for _, d := range im.domains {
		if strings.EqualFold(d.name, name) {
			return d
		}
	}
	return nil
}

// names returns the domains that a parameter lists, with those of its tables and files.
func (im *importer) names(param string) []string { return im.namesIn(param, im.value(param), 0) }

// namesIn reads one list, or one line of a file of a list, which is a list as well: as deep as
// files may name each other.
func (im *importer) namesIn(param, list string, depth int) (names []string) {
	for _, w := range Words(list) {
		switch {
		case depth > maxDepth:
			im.beside(param, w, Lost, TopicRecipients, "its files name each other")
		case strings.HasPrefix(w, "!"):
			im.beside(param, w, Lost, TopicRecipients, "exceptions are not read; the domains are listed")
		case strings.HasPrefix(w, "/"):
			text, err := im.read(w)
			if err != nil {
				im.beside(param, w, Lost, TopicRecipients, "%v", err)
				continue
			}
			for _, l := range logicalLines(string(text)) {
				names = append(names, im.namesIn(param, l.text, depth+1)...)
			}
		case strings.Contains(w, ":") && !strings.HasPrefix(w, "["):
			entries, err := im.p.Table(w, im.read)
			if err != nil {
				im.beside(param, w, Lost, TopicRecipients, "%v", err)
			}
			for _, e := range entries {
				if !strings.Contains(e.Key, "@") { // the table may hold addresses as well
					names = append(names, e.Key)
				}
			}
		default:
			names = append(names, w)
		}
	}
	return names
}

// claim makes a domain ours, if no earlier class has it.
func (im *importer) claim(name, param string, c class) {
	d, err := mail.ParseHostname(strings.TrimSuffix(name, "."))
	lower := strings.ToLower(strings.TrimSuffix(name, "."))
	switch {
	case c == classLocal && (err != nil || !strings.Contains(lower, ".") || lower == "localhost.localdomain" || strings.HasPrefix(lower, "localhost.")):
		if !contains(im.loopback, lower) {
			im.loopback = append(im.loopback, lower)
			im.beside(param, name, Changed, TopicRecipients,
				"it is a name of this host for itself, which nobody elsewhere can write to: no domain is made of it, and mail to it is refused")
		}
	case err != nil || !strings.Contains(lower, "."):
		im.beside(param, name, Lost, TopicRecipients, "%s is no domain", shown(name))
	default:
		if o := im.ours(d.ASCII()); o != nil {
			if o.class != c && im.given(param) {
				im.beside(param, name, Unneeded, TopicRecipients, "%s has it already, and that counts", o.param)
			}
			return
		}
		im.domains = append(im.domains, &domain{name: d.ASCII(), class: c, param: param, list: map[string]bool{}})
	}
}

// classes makes the domains of each class, in the order in which Postfix asks for them.
func (im *importer) classes() {
	for _, n := range im.names("mydestination") {
		im.claim(n, "mydestination", classLocal)
	}
	im.origin = im.myorigin()
	if im.given("virtual_alias_domains") {
		for _, n := range im.names("virtual_alias_domains") {
			im.claim(n, "virtual_alias_domains", classAlias)
		}
	} else {
		im.aliasDomains()
	}
	if im.given("virtual_mailbox_domains") {
		for _, n := range im.names("virtual_mailbox_domains") {
			im.claim(n, "virtual_mailbox_domains", classMailbox)
		}
	} else {
		for _, key := range sortedNames(im.boxes) {
			if !strings.Contains(key, "@") {
				im.claim(key, "virtual_mailbox_maps", classMailbox)
			}
		}
	}
	if im.given("relay_domains") {
		for _, n := range im.names("relay_domains") {
			im.relay(n)
		}
	}
	if im.origin != "" && im.ours(im.origin) == nil && !contains(im.loopback, im.origin) &&
		strings.EqualFold(im.origin, im.hostname) && im.localDomain() != "" {
		im.note("myorigin", Changed, TopicRecipients,
			"it is no domain of ours: names without a domain are taken to be in %s", im.localDomain())
		im.origin = im.localDomain()
	}
}

// relay makes a domain of a server behind us. Its subdomains are ours as well in Postfix,
// unless parent_domain_matches_subdomains says otherwise.
func (im *importer) relay(name string) {
	const param = "relay_domains"
	parents := !im.given("parent_domain_matches_subdomains") || contains(Words(im.value("parent_domain_matches_subdomains")), param)
	if strings.HasPrefix(name, ".") {
		im.beside(param, name, Lost, TopicRecipients, "the domains below it are ours: each is a [domain] here, write those that there are")
		return
	}
	im.claim(name, param, classRelay)
	if d := im.ours(name); parents && d != nil && d.class == classRelay {
		im.beside(param, name, Changed, TopicRecipients, "domains below it were taken, too; write a [domain] for those that there are")
	}
}

func sortedNames(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// aliasDomains are those that virtual_alias_maps itself names, by an entry such as
// "shop.example anything" beside those of the domain's addresses: virtual_alias_domains
// defaults to that table. virtual(5).
func (im *importer) aliasDomains() {
	hosts := map[string]bool{}
	for _, key := range im.virtual.keys {
		if _, host, found := strings.Cut(key, "@"); found {
			hosts[host] = true
		}
	}
	for _, key := range im.virtual.keys {
		e := im.virtual.entry[key]
		if !strings.Contains(key, "@") && strings.Contains(key, ".") && (hosts[key] || im.meansNothing(key, e.Value)) {
			im.claim(key, "virtual_alias_maps", classAlias)
		}
	}
}

// meansNothing reports whether the right side of a name with dots is one of the words that
// stand there for a domain. Else it is a local name with dots.
func (im *importer) meansNothing(key, value string) bool {
	v := strings.ToLower(value)
	return contains([]string{"anything", "something", "whatever", "domain", "virtual", "ok", "x", "1", "-", "yes", "dummy", "placeholder", "required", key},
		v)
}

// tellDomains says which domains of each parameter became ours.
func (im *importer) tellDomains() {
	byParam := map[string][]string{}
	for _, d := range im.domains {
		byParam[d.param] = append(byParam[d.param], d.name)
	}
	for _, param := range []string{"mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains"} {
		if !im.given(param) {
			continue
		}
		switch {
		case strings.TrimSpace(im.value(param)) == "":
			im.note(param, Unneeded, TopicRecipients, "it names none")
		case len(byParam[param]) == 0:
			im.note(param, Unneeded, TopicRecipients, "no domain was made of it, for what is told of each by itself")
		default:
			im.note(param, Carried, TopicRecipients, "a [domain] each: %s", brief(byParam[param]))
		}
	}
	for _, param := range []string{"local_transport", "mailbox_transport", "virtual_transport", "relay_transport"} {
		if _, done := im.notes[param]; done || !im.given(param) || strings.TrimSpace(im.value(param)) == "" {
			continue
		}
		if w := im.way(im.value(param), ""); w.deliver == "" && !w.mx && !w.refuse {
			im.note(param, Lost, TopicDelivery, "%s", w.why)
		} else {
			im.note(param, Carried, TopicDelivery, "deliver of the domains that it is about")
		}
	}
}

// briefly is how many names a line of the report shows of a list; the others it counts.
const briefly = 10

func brief(list []string) string {
	if len(list) > briefly {
		return strings.Join(list[:briefly], ", ") + fmt.Sprintf(" and %d more", len(list)-briefly)
	}
	return strings.Join(list, ", ")
}

// myorigin is the domain of names without one, which Debian keeps in a file.
func (im *importer) myorigin() string {
	v := im.value("myorigin")
	if !strings.HasPrefix(v, "/") {
		return strings.ToLower(v)
	}
	text, err := im.read(v)
	if err != nil {
		im.note("myorigin", Lost, TopicRecipients, "%v; names without a domain are taken to be in the first local domain", err)
		return im.localDomain()
	}
	first, _, _ := strings.Cut(string(text), "\n")
	im.note("myorigin", Carried, TopicRecipients, "names without a domain are in %s", shown(strings.TrimSpace(first)))
	return strings.ToLower(strings.TrimSpace(first))
}

// localDomain is where names of the system's users have their address: myorigin, if it is
// one of mydestination, else the first that is not the host's own name, else that.
func (im *importer) localDomain() string {
	first, other := "", ""
	for _, d := range im.domains {
		if d.class != classLocal {
			continue
		}
		switch {
		case d.name == im.origin:
			return d.name
		case first == "":
			first = d.name
		}
		if other == "" && d.name != im.hostname {
			other = d.name
		}
	}
	if other != "" {
		return other
	}
	return first
}

// localDomains returns the domains of mydestination, the one where people have their
// address first.
func (im *importer) localDomains() (names []string) {
	home := im.localDomain()
	if home != "" {
		names = append(names, home)
	}
	for _, d := range im.domains {
		if d.class == classLocal && d.name != home {
			names = append(names, d.name)
		}
	}
	return names
}

// namesDomains reports whether a parameter names domains, though none could be read.
func (im *importer) namesDomains() bool {
	for _, param := range []string{"virtual_alias_domains", "virtual_alias_maps", "virtual_mailbox_domains", "relay_domains"} {
		if im.given(param) && strings.TrimSpace(im.value(param)) != "" {
			return true
		}
	}
	return false
}

// onlyItself reports whether mydestination names nothing but this host for itself, so that
// nobody elsewhere writes to a local name.
func (im *importer) onlyItself() bool {
	for _, w := range Words(im.value("mydestination")) {
		if w = strings.ToLower(w); strings.ContainsAny(w, ":/") || strings.Contains(w, ".") && !strings.HasPrefix(w, "localhost.") {
			return false
		}
	}
	return true
}

// nullClient gives a host a domain that has none of its own and sends all it has to a
// smarthost: who sends needs an address that is ours.
func (im *importer) nullClient() {
	if len(im.domains) > 0 || im.hostname == "" || len(im.gone) > 0 || im.namesDomains() {
		return
	}
	var hub *route
	for i := range im.routes {
		if im.routes[i].domain == "*" {
			hub = &im.routes[i]
		}
	}
	name := im.origin
	if d, err := mail.ParseHostname(name); err != nil || !strings.Contains(name, ".") || d.IsZero() {
		name = im.hostname
	}
	if hub == nil || !strings.Contains(name, ".") {
		return
	}
	d := &domain{name: name, class: classRelay, param: "myorigin", deliver: hub.to, hop: hub.hop, tls: hub.tls, list: map[string]bool{}}
	if hub.user == "" {
		im.note("myorigin", Carried, TopicRecipients,
			"[domain.%q], with the smarthost behind it: programs of this host send as its accounts, and mail to it goes on as before",
			name)
	} else {
		d.deliver, d.tls, d.class = "maildir", "", classMailbox
		im.note("myorigin", Lost, TopicRecipients,
			"[domain.%q], so that programs of this host have addresses to send as; the smarthost wants a password, which no server behind a domain is shown: mail to the domain stays here",
			name)
	}
	im.domains = append(im.domains, d)
	im.sendmail = name
}
