package migrate

import (
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// way is how a transport of Postfix delivers.
type way struct {
	deliver string // as domain.NAME.deliver says it; "": not as this server does
	byMX    bool   // Postfix asks the DNS for the exchangers of the host
	mx      bool   // to the exchangers of the recipient's domain
	refuse  bool   // error: the mail is refused
	hop     string // as Postfix writes the next hop
	why     string // where deliver is ""
}

// way reads transport:nexthop. What is empty in it is that of byDefault. transport(5).
func (im *importer) way(value, byDefault string) way {
	name, hop, _ := strings.Cut(strings.TrimSpace(value), ":")
	if name == "" {
		var its string
		name, its, _ = strings.Cut(byDefault, ":")
		if hop == "" {
			hop = its
		}
	}
	command, wrapped := name, strings.EqualFold(im.value("smtp_tls_wrappermode"), "yes")
	if s, known := im.service(name); known {
		command = s.Command
		if v, given := s.Option("smtp_tls_wrappermode"); given {
			wrapped = strings.EqualFold(v, "yes")
		}
	} else if name == "relay" {
		command = "smtp"
	}
	w := way{hop: hop}
	switch command {
	case "virtual":
		w.deliver = "maildir"
	case "local":
		if box := im.value("mailbox_transport"); box != "" && box != value {
			return im.way(box, "")
		}
		w.deliver = "maildir"
	case "lmtp":
		im.lmtp(&w)
	case "smtp":
		im.smtp(&w, wrapped)
	case "error", "retry":
		w.refuse, w.why = command == "error", "mail for it is answered with an error"
	case "discard":
		w.why = "mail is never thrown away after it was taken"
	default:
		w.why = shown(value) + " is a program, or a service of Postfix; let it take mail by LMTP or SMTP (docs/guides/dovecot.md)"
	}
	return w
}

func (im *importer) lmtp(w *way) {
	if socket, ok := strings.CutPrefix(w.hop, "unix:"); ok && socket != "" {
		w.deliver = "lmtp+unix://" + im.path(socket, im.chrooted("lmtp"))
		return
	}
	port := portOf(im.value("lmtp_tcp_port"))
	if port == "" {
		port = "24"
	}
	if at := hostPort(strings.TrimPrefix(w.hop, "inet:"), port); at != "" {
		w.deliver = "lmtp://" + at
		return
	}
	w.why = "it names no server to deliver to"
}

func (im *importer) smtp(w *way, wrapped bool) {
	first := w.hop
	if list := Words(w.hop); len(list) > 1 {
		first = list[0]
	}
	if first == "" {
		w.mx = true
		w.why = "it goes to the exchangers of the domain, which the DNS names: write the host that stands before this one as deliver"
		return
	}
	port := portOf(im.value("smtp_tcp_port"))
	if port == "" {
		port = "25"
	}
	at := hostPort(strings.TrimPrefix(first, "inet:"), port)
	if at == "" {
		w.why = shown(first) + " names no host to deliver to"
		return
	}
	w.byMX = !strings.HasPrefix(first, "[") && strings.Trim(at[:strings.LastIndexByte(at, ':')], "0123456789.") != ""
	w.deliver = "smtp://" + at
	if wrapped || strings.HasSuffix(at, ":465") {
		w.deliver = "smtps://" + at
	}
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
	host = strings.TrimPrefix(strings.TrimPrefix(host, "ipv6:"), "IPv6:")
	if rest != "" {
		if port = portOf(rest); port == "" {
			return ""
		}
	}
	if host == "" || strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_:", r))
	}) {
		return ""
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + port
}

// transports reads transport_maps.
func (im *importer) transports() {
	const name = "transport_maps"
	if !im.given(name) {
		return
	}
	im.note(name, Carried, TopicDelivery, "deliver of domains of ours and [route] of others, entry by entry as told below")
	entries, _ := im.tables(name, TopicDelivery, "")
	for _, e := range entries {
		key := folded(strings.TrimSuffix(e.Key, "."))
		if _, twice := im.transport[key]; twice {
			im.entry(e, Unneeded, TopicDelivery, "an earlier entry has it, and that one counts")
			continue
		}
		im.transport[key] = e
		im.routed(e, key)
	}
}

// routed says what becomes of an entry, and makes the route of a domain that is not ours.
func (im *importer) routed(e Entry, key string) {
	d, err := mail.ParseDomain(key)
	switch {
	case key == "*":
		im.everyDomain(e)
	case strings.HasPrefix(key, "."):
		if slices.ContainsFunc(im.domains, func(d *domain) bool { return strings.HasSuffix(d.name, key) }) {
			im.entry(e, Carried, TopicDelivery, "deliver of the domains of ours below it")
			return
		}
		im.entry(e, Lost, TopicDelivery, "only whole domains have a route here: write a [route] for each below it")
	case strings.Contains(key, "@"):
		im.entry(e, Lost, TopicDelivery,
			"only whole domains have a way of their own here; an address of ours may be an alias into another domain")
	case err != nil:
		im.entry(e, Lost, TopicDelivery, "%s is no domain", shown(key))
	case im.ours(d.ASCII()) != nil:
		// deliveries says it, with the domain
	case contains(im.loopback, key):
		im.entry(e, Unneeded, TopicDelivery, "it is a name of this host for itself")
	default:
		im.foreign(e, d.ASCII())
	}
}

// everyDomain is the entry for whatever has none.
func (im *importer) everyDomain(e Entry) {
	w := im.way(e.Value, im.outward())
	switch {
	case strings.HasPrefix(w.deliver, "smtp"):
		im.addRoute(e, "*", w)
	case w.mx || e.Value == ":" || e.Value == "":
		im.entry(e, Unneeded, TopicDelivery, "it is what happens by itself")
	case w.why != "":
		im.closed = true
		im.entry(e, Lost, TopicDelivery, `%s; mail for other domains waits (mx.delivery = "off")`, w.why)
	default:
		im.entry(e, Lost, TopicDelivery, "a route is SMTP")
	}
}

// foreign is the entry of a domain that is not ours.
func (im *importer) foreign(e Entry, name string) {
	w := im.way(e.Value, im.outward())
	hub := im.value("relayhost") != ""
	own, _, _ := strings.Cut(strings.TrimSpace(e.Value), ":")
	switch {
	case w.mx && own == "" || w.mx && !hub:
		im.entry(e, Unneeded, TopicDelivery, "it is what happens by itself")
	case w.mx:
		im.entry(e, Lost, TopicDelivery, "with a smarthost for all, no domain is reached by its MX: write a [route] with its exchanger")
	case strings.HasPrefix(w.deliver, "smtp"):
		im.addRoute(e, name, w)
	case w.deliver != "":
		im.entry(e, Lost, TopicDelivery, "%s is no domain of ours, and a route is SMTP", name)
	default:
		im.entry(e, Lost, TopicDelivery, "%s", w.why)
	}
}

func (im *importer) addRoute(e Entry, name string, w way) {
	im.routes = append(im.routes, route{domain: name, to: w.deliver, hop: w.hop})
	im.entry(e, Carried, TopicDelivery, "[route.%q] to %s", name, w.deliver)
	if w.byMX {
		im.entry(e, Lost, TopicDelivery, "%s", asksForMX(w.hop))
	}
	if list := Words(w.hop); len(list) > 1 {
		im.entry(e, Lost, TopicDelivery, "a route has one next hop; give its name several addresses")
	}
}

// asksForMX says what a next hop without brackets is.
func asksForMX(hop string) string {
	return fmt.Sprintf("without brackets Postfix asks the DNS for the exchangers of %s first, and a name is dialled as it stands here: see 'dig MX', and write an exchanger where there is one",
		shown(hop))
}

// outward is the transport of mail for others, with the smarthost in it.
func (im *importer) outward() string {
	t := im.value("default_transport")
	if _, hop, _ := strings.Cut(t, ":"); hop == "" {
		return strings.TrimSuffix(t, ":") + ":" + im.value("relayhost")
	}
	return t
}

// lookup finds the entry of transport_maps for a domain. transport(5).
func (im *importer) lookup(domain string) (Entry, bool) {
	if e, ok := im.transport[domain]; ok {
		return e, true
	}
	for rest := domain; ; {
		i := strings.IndexByte(rest, '.')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		if e, ok := im.transport["."+rest]; ok {
			return e, true
		}
	}
	e, ok := im.transport["*"]
	return e, ok
}

// classTransport is how a domain is delivered of which transport_maps says nothing.
func (im *importer) classTransport(d *domain) string {
	switch d.class {
	case classLocal:
		return im.value("local_transport")
	case classMailbox:
		return im.value("virtual_transport")
	case classRelay:
		t := im.value("relay_transport")
		if _, hop, _ := strings.Cut(t, ":"); hop == "" {
			t = strings.TrimSuffix(t, ":") + ":" + im.value("relayhost")
		}
		return t
	}
	return "virtual:"
}

// transportParam is the parameter that classTransport reads.
func (im *importer) transportParam(d *domain) string {
	switch {
	case d.class == classRelay:
		return "relay_transport"
	case d.class == classMailbox:
		return "virtual_transport"
	case im.value("mailbox_transport") != "":
		return "mailbox_transport"
	}
	return "local_transport"
}

// deliveries says how each domain of ours is delivered, and gives up those that have no
// way here.
func (im *importer) deliveries() {
	var kept []*domain
	for _, d := range im.domains {
		byDefault := im.classTransport(d)
		w, e, own := im.way(byDefault, ""), Entry{}, false
		if e, own = im.lookup(d.name); own {
			if d.class == classAlias && e.Key == "*" {
				own = false // every address of it is another's
			} else {
				w = im.way(e.Value, byDefault)
			}
		}
		d.deliver, d.hop = w.deliver, w.hop
		tell := func(k Kind, format string, a ...any) {
			param := im.transportParam(d)
			switch {
			case own && e.Key != "*" && !strings.HasPrefix(e.Key, "."):
				im.entry(e, k, TopicDelivery, format, a...)
			case k == Lost && !own && im.given(param) && d.deliver == "maildir":
				im.note(param, k, TopicDelivery, format, a...) // once for all domains
			case k == Lost:
				im.beside(d.param, d.name, k, TopicDelivery, format, a...)
			}
		}
		switch {
		case w.refuse:
			tell(Carried, "mail for it is refused, as for any domain that is not ours")
			continue
		case w.deliver == "" && (d.class == classLocal || d.class == classMailbox) && !w.mx && w.hop+w.why != "" && !strings.Contains(w.why, "thrown away") && !strings.Contains(w.why, "error"):
			d.deliver = "maildir"
			tell(Lost, "%s; the domain is delivered to Maildir until you write its deliver", w.why)
		case w.deliver == "":
			tell(Lost, `the domain is left out, and its mail refused: %s`, w.why)
			continue
		default:
			tell(Carried, "deliver = %q", w.deliver)
			if w.byMX {
				tell(Lost, "%s", asksForMX(w.hop))
			}
		}
		kept = append(kept, d)
	}
	for _, d := range im.domains {
		if !slices.Contains(kept, d) {
			im.gone = append(im.gone, d.name)
		}
	}
	im.domains = kept
	im.tellDomains()
}

// relayhost is the smarthost.
func (im *importer) relayhost() {
	hop := im.value("relayhost")
	t, own, _ := strings.Cut(im.value("default_transport"), ":")
	if own != "" {
		hop = own
	}
	if t != "smtp" && t != "relay" {
		if s, known := im.service(t); !known || s.Command != "smtp" {
			im.closed = true
			im.note("relayhost", Unneeded, TopicDelivery, "default_transport leads mail for others elsewhere")
			im.note("default_transport", Lost, TopicDelivery,
				`mail for others leaves by SMTP alone; it waits until you write [route] or mx.delivery (which is "off")`)
			return
		}
	}
	if im.given("default_transport") {
		im.note("default_transport", Carried, TopicDelivery, "mail for others leaves by SMTP")
	}
	if hop == "" {
		im.note("relayhost", Carried, TopicDelivery, "other domains are reached by their MX records")
		return
	}
	w := im.way(":"+hop, t)
	if w.deliver == "" {
		im.closed = true
		im.note("relayhost", Lost, TopicDelivery, `%s; mail for other domains waits (mx.delivery = "off")`, w.why)
		return
	}
	if slices.ContainsFunc(im.routes, func(r route) bool { return r.domain == "*" }) {
		im.note("relayhost", Unneeded, TopicDelivery, "transport_maps has an entry for every domain")
		return
	}
	r := route{domain: "*", to: w.deliver, hop: Words(hop)[0]}
	im.note("relayhost", Carried, TopicDelivery, "[route.\"*\"] to %s", w.deliver)
	if w.byMX {
		im.beside("relayhost", hop, Lost, TopicDelivery, "%s", asksForMX(hop))
	}
	for _, next := range Words(hop)[1:] {
		im.another(&r, next, t)
	}
	im.routes = append(im.routes, r)
}

// another is a next hop of relayhost behind its first.
func (im *importer) another(r *route, hop, transport string) {
	w := im.way(":"+hop, transport)
	switch same := strings.HasPrefix(w.deliver, "smtps://") == strings.HasPrefix(r.to, "smtps://"); {
	case w.deliver == "":
		im.beside("relayhost", hop, Lost, TopicDelivery, "%s", w.why)
	case !same:
		im.beside("relayhost", hop, Lost, TopicDelivery, "all next hops of a route have TLS from the first octet, or none has")
	case len(r.others) == mostOthers:
		im.beside("relayhost", hop, Lost, TopicDelivery, "a route has at most %d next hops behind its first", mostOthers)
	default:
		r.others, r.hops = append(r.others, w.deliver), append(r.hops, hop)
		if w.byMX {
			im.beside("relayhost", hop, Lost, TopicDelivery, "%s", asksForMX(hop))
			return
		}
		im.beside("relayhost", hop, Carried, TopicDelivery, `others of [route."*"]`)
	}
}

// mostOthers is how many next hops a route has behind its first.
const mostOthers = 8

// passwords takes the names and passwords of next hops, which are only shown to a host
// whose certificate verifies.
func (im *importer) passwords() {
	const name = "smtp_sasl_password_maps"
	if !im.given(name) {
		return
	}
	if !im.yes("smtp_sasl_auth_enable") {
		im.note(name, Unneeded, TopicDelivery, "smtp_sasl_auth_enable is not set, and nobody is signed in to")
		return
	}
	im.note("smtp_sasl_auth_enable", Carried, TopicDelivery, "as user and password_file")
	im.note(name, Carried, TopicDelivery,
		`user and password_file of each [route]; tls = "required", since a password is shown to a proven host alone`)
	entries, _ := im.tables(name, TopicDelivery, "")
	for _, e := range entries {
		im.password(e)
	}
}

func (im *importer) password(e Entry) {
	user, secret, found := strings.Cut(e.Value, ":")
	used := false
	for i := range im.routes {
		r := &im.routes[i]
		host, _, _ := strings.Cut(strings.Trim(strings.TrimPrefix(r.to[strings.Index(r.to, "://"):], "://"), "[]"), ":")
		if !found || r.user != "" ||
			e.Key != r.hop && e.Key != "*" && !strings.EqualFold(e.Key, host) && !strings.EqualFold(e.Key, r.domain) {
			continue
		}
		if !strings.HasPrefix(r.to, "smtps") {
			r.tls = "required"
		}
		r.user, r.file, used = user, "smarthost.password", true
		if r.domain != "*" {
			r.file = r.domain + ".password"
		}
		im.secrets[r.file] = secret + "\n"
	}
	behind := slices.IndexFunc(im.routes, func(r route) bool { return contains(r.hops, e.Key) })
	if behind >= 0 && !used {
		r := im.routes[behind]
		if used = found && r.user == user && im.secrets[r.file] == secret+"\n"; !used {
			im.entry(e, Lost, TopicDelivery, "all next hops of a [route] are told one name and password, those of its first")
			return
		}
	}
	if used {
		im.entry(e, Carried, TopicDelivery, "user and password_file of the [route]")
		return
	}
	im.entry(e, Lost, TopicDelivery, "no route leads there; its name and password belong into user and password_file of a [route]")
}
