package migrate

import (
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// virtualAliases reads virtual_alias_maps: addresses of ours that stand for others.
func (im *importer) virtualAliases() {
	if _, given := im.p.Given("virtual_alias_maps"); !given {
		return
	}
	for _, spec := range Words(im.value("virtual_alias_maps")) {
		entries, err := im.p.Table(spec, im.read)
		if err != nil {
			im.note("virtual_alias_maps", Lost, "%v", err)
			return
		}
		for _, e := range entries {
			im.alias(e, e.Key, Words(e.Value))
		}
	}
	im.note("virtual_alias_maps", Carried, "[alias], entry by entry as told below")
}

// localAliases reads aliases(5), whose names are those of every local domain.
func (im *importer) localAliases() {
	_, given := im.p.Given("alias_maps")
	for _, spec := range Words(im.value("alias_maps")) {
		_, path, _ := strings.Cut(spec, ":")
		if kind, _, _ := strings.Cut(spec, ":"); !slices.Contains([]string{"hash", "lmdb", "btree", "texthash", "dbm", "cdb"}, kind) {
			im.note("alias_maps", Lost, "%s is no file of aliases", spec)
			return
		}
		text, err := im.read(path)
		if err != nil {
			if given {
				im.note("alias_maps", Lost, "%v", err)
			}
			return
		}
		entries, faults := ParseAliases(path, string(text))
		for _, f := range faults {
			im.extra = append(im.extra, Verdict{File: path, Line: f.Line, What: shown(f.Text), Kind: Lost, Text: f.Why})
		}
		home := im.home()
		for _, e := range entries {
			if home == "" {
				im.entry(e, Lost, "no domain of mydestination is left that the name could be in")
				continue
			}
			im.alias(e, e.Key+"@"+home, targets(e.Value))
			im.users = append(im.users, strings.ToLower(e.Key))
		}
	}
	im.note("alias_maps", Carried, "[alias], entry by entry as told below%s", im.elsewhere())
}

// elsewhere says what becomes of names in the local domains beside home.
func (im *importer) elsewhere() string {
	var others []string
	for _, d := range im.local {
		if d != im.home() {
			others = append(others, d)
		}
	}
	if len(others) == 0 {
		return ""
	}
	return "; the same names in " + none(others) + " are aliases of those in " + im.home()
}

// residents are those to whom aliases lead: each needs an account. A local name was
// the same mailbox in every domain of mydestination: here it is one address, and an
// alias of it in each of the others.
func (im *importer) residents() {
	local := slices.Clone(im.users)
	for _, key := range im.order {
		for _, t := range im.aliases[key] {
			name, host, _ := strings.Cut(t, "@")
			if d := im.ours(host); im.aliases[t] != nil && t != key || d == nil || d.deliver != "maildir" || slices.Contains(im.people, t) {
				continue
			}
			im.people = append(im.people, t)
			if host == im.home() {
				local = append(local, name)
			}
		}
	}
	if !slices.Contains(im.local, im.home()) {
		return
	}
	for _, d := range im.local {
		for _, name := range local {
			key, to := name+"@"+d, name+"@"+im.home()
			known := im.aliases[to] != nil || slices.Contains(im.people, to)
			if d != im.home() && known && im.aliases[key] == nil {
				im.aliases[key] = []string{to}
				im.order = append(im.order, key)
			}
		}
	}
}

// home is the domain that names without one are in.
func (im *importer) home() string {
	if origin := im.origin(); im.ours(origin) != nil {
		return strings.ToLower(origin)
	}
	for _, d := range im.domains {
		if d.deliver == "maildir" {
			return d.name
		}
	}
	return ""
}

// origin is myorigin, which Debian keeps in a file.
func (im *importer) origin() string {
	v := im.value("myorigin")
	if !strings.HasPrefix(v, "/") {
		return v
	}
	text, err := im.read(v)
	if err != nil {
		im.note("myorigin", Lost, "%v; names without a domain are taken to be in the first local domain", err)
		return ""
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(first)
}

// alias takes an entry whose targets are all addresses of ours; everything else is
// reported, and nothing of such an entry is carried over.
func (im *importer) alias(e Entry, address string, to []string) {
	switch {
	case strings.Contains(address, "@"):
		address = im.atHome(address)
	case im.ours(address) != nil:
		im.entry(e, Unneeded, "it says that the domain is ours, as its [domain] does")
		return
	default:
		address += "@" + im.home()
	}
	catchAll := strings.HasPrefix(address, "@")
	name, host, _ := strings.Cut(address, "@")
	if _, err := mail.ParseAddress(strings.TrimPrefix("x"+address, "x"), mail.UTF8); err != nil && !catchAll || im.ours(host) == nil {
		im.entry(e, Lost, "%s is no address of a domain of ours", mail.Printable(address, 80))
		return
	}
	var ours []string
	for _, t := range to {
		if own, past := strings.CutPrefix(t, `\`); past && strings.EqualFold(own, name) {
			t = address // aliases(5): the mailbox itself
		}
		a, why := im.target(t)
		if why != "" {
			im.entry(e, Lost, "%s: %s", mail.Printable(t, 80), why)
			return
		}
		if a != strings.ToLower(address) {
			ours = append(ours, a)
		}
	}
	key := strings.ToLower(address)
	switch {
	case len(to) == 0:
		im.entry(e, Lost, "it has no target")
	case len(ours) < len(to) && len(ours) == 0:
		im.entry(e, Unneeded, "it stands for itself")
	case im.aliases[key] != nil:
		im.entry(e, Lost, "an earlier entry of that name was carried over")
	case len(ours) < len(to) && catchAll:
		im.entry(e, Lost, "a catch-all keeps no copies: every name that is somebody's needs an account or an alias")
	case len(ours) < len(to):
		im.aliases[key] = append([]string{key}, ours...)
		im.order = append(im.order, key)
		im.entry(e, Carried, "alias %s, beside the account of that name, which keeps its copy", key)
	default:
		im.aliases[key] = ours
		im.order = append(im.order, key)
		im.entry(e, Carried, "alias %s", key)
	}
}

// target returns an address of ours, or why it is none.
func (im *importer) target(t string) (address, why string) {
	t = strings.Trim(t, `"`)
	switch {
	case t == "":
		return "", "it is empty"
	case t[0] == '|':
		return "", "mail is never handed to a program"
	case t[0] == '/':
		return "", "mail is never written to a file, nor thrown away"
	case strings.HasPrefix(t, ":include:"):
		return "", "a list in a file is not read; make it an alias with its members"
	case t[0] == '\\':
		return "", "it names a mailbox past the alias of that name; only the alias itself can do that here"
	}
	if t = im.atHome(t); !strings.Contains(t, "@") {
		t += "@" + im.home()
	}
	a, err := mail.ParseAddress(t, mail.UTF8)
	switch {
	case err != nil:
		return "", "it is no address"
	case im.ours(a.Domain().ASCII()) == nil:
		return "", "it leads to another domain: a forward belongs to an account here ('sallyport forward add')"
	}
	return strings.ToLower(a.String()), ""
}

// transports gives the servers behind us their place, and other domains their route.
func (im *importer) transports() {
	if _, given := im.p.Given("transport_maps"); given {
		im.note("transport_maps", Carried, "deliver of domains of ours and [route] of others, entry by entry as told below")
		for _, spec := range Words(im.value("transport_maps")) {
			entries, err := im.p.Table(spec, im.read)
			if err != nil {
				im.note("transport_maps", Lost, "%v", err)
				break
			}
			for _, e := range entries {
				im.transport(e)
			}
		}
	}
	kept := im.domains[:0]
	for _, d := range im.domains {
		if d.deliver == "" {
			im.extra = append(im.extra, Verdict{File: im.main, What: d.name, Kind: Lost, Text: "no transport names the server behind it: add [domain.\"" + d.name + "\"] with its deliver"})
			continue
		}
		kept = append(kept, d)
	}
	im.domains = kept
}

func (im *importer) transport(e Entry) {
	deliver, why := inner(e.Value)
	d, err := mail.ParseDomain(e.Key)
	switch {
	case e.Key == "*" && strings.HasPrefix(deliver, "smtp://"):
		im.routes = append(im.routes, route{domain: "*", to: deliver})
	case err != nil:
		im.entry(e, Lost, "only whole domains have a route here")
		return
	case deliver == "":
		im.entry(e, Lost, "%s", why)
		return
	case im.ours(d.ASCII()) != nil:
		im.ours(d.ASCII()).deliver = deliver
	case strings.HasPrefix(deliver, "smtp://"):
		im.routes = append(im.routes, route{domain: d.ASCII(), to: deliver})
	default:
		im.entry(e, Lost, "%s is no domain of ours, and a route is SMTP", d.ASCII())
		return
	}
	im.entry(e, Carried, "%s", deliver)
}

// relayhost is the smarthost, with its password where there is one.
func (im *importer) relayhost() {
	hop := im.value("relayhost")
	if hop == "" {
		im.note("relayhost", Carried, "other domains are reached by their MX records")
		return
	}
	at := hostPort(hop, "25")
	if at == "" {
		im.note("relayhost", Lost, "%q names no host", hop)
		return
	}
	r := route{domain: "*", to: "smtp://" + at}
	if strings.HasSuffix(at, ":465") {
		r.to = "smtps://" + at
	}
	level := im.value("smtp_tls_security_level")
	if (level == "verify" || level == "secure" || level == "encrypt") && !strings.HasPrefix(r.to, "smtps") {
		r.tls = "required"
	}
	im.note("relayhost", Carried, "[route.\"*\"] to %s", r.to)
	if _, given := im.p.Given("smtp_sasl_password_maps"); given {
		im.password(hop, &r)
	}
	im.routes = slices.DeleteFunc(im.routes, func(o route) bool { return o.domain == "*" })
	im.routes = append(im.routes, r)
}

// password takes the smarthost's name and password, which is only shown to a host whose
// certificate verifies.
func (im *importer) password(hop string, r *route) {
	for _, spec := range Words(im.value("smtp_sasl_password_maps")) {
		entries, err := im.p.Table(spec, im.read)
		if err != nil {
			im.note("smtp_sasl_password_maps", Lost, "%v", err)
			return
		}
		for _, e := range entries {
			user, secret, found := strings.Cut(e.Value, ":")
			if !found || e.Key != hop && e.Key != "*" {
				im.entry(e, Lost, "it is not for the relayhost")
				continue
			}
			if !strings.HasPrefix(r.to, "smtps") {
				r.tls = "required"
			}
			r.user, r.file = user, "smarthost.password"
			im.secrets[r.file] = secret + "\n"
			im.note("smtp_sasl_password_maps", Carried, `user and password_file of [route."*"]; tls = "required", since a password is shown to a proven host alone`)
			im.note("smtp_sasl_auth_enable", Carried, "as user and password_file")
			return
		}
	}
	im.note("smtp_sasl_password_maps", Lost, "no entry is for the relayhost")
}
