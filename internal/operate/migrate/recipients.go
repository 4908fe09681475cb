package migrate

import (
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// folded is a key of a table as keys are compared here: in lower case, and its domain as the DNS
// has it, which a table may write in letters of its own.
func folded(key string) string {
	key = strings.ToLower(key)
	name, host, at := strings.Cut(key, "@")
	if !at {
		name, host = "", key
	}
	if strings.IndexFunc(host, func(r rune) bool { return r >= 0x80 }) < 0 || !strings.Contains(host, ".") {
		return key
	}
	d, err := mail.ParseDomain(host)
	switch {
	case err != nil:
		return key
	case at:
		return name + "@" + d.ASCII()
	}
	return d.ASCII()
}

// aliasTable is a table of aliases: keys in lower case, the first entry of each.
type aliasTable struct {
	keys  []string
	entry map[string]Entry
}

func (t *aliasTable) add(key string, e Entry) bool {
	if t.entry == nil {
		t.entry = map[string]Entry{}
	}
	if _, twice := t.entry[key]; twice {
		return false
	}
	t.keys = append(t.keys, key)
	t.entry[key] = e
	return true
}

// readTables reads the tables of addresses.
func (im *importer) readTables() {
	im.readVirtual()
	im.readAliases()
	im.boxes, im.boxesAll = im.addresses("virtual_mailbox_maps")
	im.relayed, im.relayAll = im.addresses("relay_recipient_maps")
}

func (im *importer) readVirtual() {
	const name = "virtual_alias_maps"
	if !im.given(name) {
		return
	}
	im.note(name, Carried, TopicRecipients, "[alias], entry by entry as told below")
	entries, _ := im.tables(name, TopicRecipients, "")
	for _, e := range entries {
		if !im.virtual.add(folded(e.Key), e) {
			im.entry(e, Unneeded, TopicRecipients, "an earlier entry has that name, and that one counts")
		}
	}
}

// tables reads the tables that a parameter names; whole is false where one of them could
// not be read, which is told with a hint.
func (im *importer) tables(name string, t Topic, hint string) (all []Entry, whole bool) {
	specs := Words(im.value(name))
	whole = true
	for _, spec := range specs {
		entries, err := im.p.Table(spec, im.read)
		switch {
		case err == nil:
			all = append(all, entries...)
			continue
		case len(specs) == 1:
			im.note(name, Lost, t, "%v%s", err, hint)
		default:
			im.beside(name, spec, Lost, t, "%v%s", err, hint)
		}
		whole = false
	}
	return all, whole
}

// readAliases reads aliases(5), whose names are those of every local domain and of no other.
func (im *importer) readAliases() {
	const name = "alias_maps"
	given := im.given(name)
	for _, spec := range Words(im.value(name)) {
		kind, path, _ := strings.Cut(strings.TrimPrefix(spec, "proxy:"), ":")
		if !isText(kind) {
			im.beside(name, spec, Lost, TopicRecipients, "%s is no file of aliases", shown(spec))
			continue
		}
		text, err := im.read(path)
		if err != nil {
			switch {
			case im.onlyItself():
				im.extra = append(im.extra, Verdict{File: path, What: name, Kind: Changed, Topic: TopicRecipients, Text: "it could not be read; nobody elsewhere can write to a local name"})
			case given:
				im.beside(name, spec, Lost, TopicRecipients, "%v", err)
			default:
				im.extra = append(im.extra, Verdict{File: path, What: name, Kind: Lost, Topic: TopicRecipients, Text: "Postfix reads this file by itself, and it cannot be read here: " + err.Error()})
			}
			continue
		}
		entries, faults := ParseAliases(path, string(text))
		for _, f := range faults {
			im.extra = append(im.extra, Verdict{File: path, Line: f.Line, What: shown(f.Text), Topic: TopicRecipients, Text: f.Why})
		}
		for _, e := range entries {
			if !im.local.add(folded(e.Key), e) {
				im.entry(e, Unneeded, TopicRecipients, "an earlier entry has that name, and that one counts")
			}
		}
	}
	if given {
		im.note(name, Carried, TopicRecipients, "[alias] of the domains of mydestination, entry by entry as told below")
	}
}

// addresses reads a table whose keys are recipients; all is true where every address may
// be one, as far as can be seen.
func (im *importer) addresses(name string) (keys map[string]bool, all bool) {
	keys = map[string]bool{}
	if strings.TrimSpace(im.value(name)) == "" {
		return keys, true // nothing is listed, so that everything is taken. ADDRESS_CLASS_README
	}
	im.note(name, Carried, TopicRecipients, "the recipients of its domains: accounts, or the recipients_file where a server stands behind")
	entries, whole := im.tables(name, TopicRecipients, "; a server behind is asked at RCPT, and for Maildirs make the accounts")
	all = !whole
	for _, e := range entries {
		all = all || e.Key == "*"
		keys[folded(e.Key)] = true
	}
	return keys, all
}

// localUsers reads who the local users are, where something lists them.
func (im *importer) localUsers() {
	const name = "local_recipient_maps"
	list := im.value(name)
	if !im.given(name) {
		list = "proxy:unix:passwd.byname $alias_maps"
	}
	list, _ = im.p.expand(list, 0)
	known, users := true, map[string]bool{}
	for _, spec := range Words(list) {
		switch plain := strings.TrimPrefix(spec, "proxy:"); {
		case plain == "unix:passwd.byname":
			known = im.passwd(users) && known
		case contains(Words(im.value("alias_maps")), spec):
		default:
			entries, err := im.p.Table(spec, im.read)
			if err != nil {
				known = false
				im.beside(name, spec, Lost, TopicRecipients, "%v", err)
			}
			for _, e := range entries {
				user, _, _ := strings.Cut(strings.ToLower(e.Key), "@")
				users[user] = true
			}
		}
	}
	switch {
	case strings.TrimSpace(list) == "":
		im.note(name, Changed, TopicRecipients, "unknown names of mydestination are refused at RCPT, where they were returned later")
	case known:
		im.users = users
		im.note(name, Carried, TopicRecipients, "accounts to make, and aliases")
	default:
		im.users = nil
		im.note(name, Changed, TopicRecipients, "the accounts of this server say who there is; make one for each user who receives mail")
	}
}

// The uids that people have, as Debian and others give them. adduser.conf(5).
const (
	firstPerson = 1000
	lastPerson  = 59999
)

// passwd reads the people of the host's users.
func (im *importer) passwd(users map[string]bool) bool {
	text, err := im.read("/etc/passwd")
	if err != nil {
		return false
	}
	if im.localDomain() == "" {
		return true
	}
	system := 0
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 7 {
			continue
		}
		uid, ok := number(f[2], "")
		switch {
		case ok && uid >= firstPerson && uid <= lastPerson:
			users[strings.ToLower(f[0])] = true
			im.homes[strings.ToLower(f[0])] = f[5]
		case im.local.entry[strings.ToLower(f[0])].Key == "":
			system++
		}
	}
	if system > 0 {
		im.extra = append(im.extra, Verdict{File: "/etc/passwd", What: "system users", Kind: Changed, Topic: TopicRecipients,
			Text: "Postfix took mail for the system's own users without an alias (daemon, www-data and their like): make an alias or an account for those whose mail is read"})
	}
	return true
}

// maxFollowed bounds the addresses that one target may lead over.
const maxFollowed = 5000

// end is where a target leads: one address of ours, an alias or a mailbox; or another
// server; or nowhere, and why.
type end struct {
	address string
	box     bool // a mailbox, no alias
	foreign bool
	why     string // it cannot be carried over
	nobody  bool   // Postfix knows nobody of that address either
}

// qualify makes a target an address, or says why it is none.
func (im *importer) qualify(t string) (address, why string) {
	t = requoted(t)
	switch {
	case t == "":
		return "", "it is empty"
	case t[0] == '|':
		return "", "mail is never handed to a program"
	case t[0] == '/':
		return "", "mail is never written to a file, nor thrown away"
	case strings.HasPrefix(t, ":include:"):
		return "", "its list cannot be read here: copy it beside the configuration, or make it an alias with its members"
	case !strings.Contains(t, "@"):
		if im.origin == "" {
			return "", "no domain is known that the name could be in"
		}
		t += "@" + im.origin
	}
	name, host, _ := strings.Cut(t, "@")
	if contains(im.loopback, strings.ToLower(host)) && name != "" {
		return strings.ToLower(t), ""
	}
	a, err := mail.ParseAddress(t, mail.UTF8)
	if err != nil {
		return "", "it is no address"
	}
	return strings.ToLower(mail.QuoteLocal(a.Local())) + "@" + a.Domain().ASCII(), ""
}

// plain returns an address without its detail.
func (im *importer) plain(address string) string {
	name, host, _ := strings.Cut(address, "@")
	if im.detail != "off" {
		if i := strings.Index(name, im.detail); i > 0 {
			if name = name[:i]; name[0] == '"' {
				name = requoted(name + `"`)
			}
		}
	}
	return name + "@" + host
}

// isLocal reports whether a host is one of mydestination.
func (im *importer) isLocal(host string) bool {
	d := im.ours(host)
	return contains(im.loopback, host) || d != nil && d.class == classLocal
}

// entryOf finds the entry of virtual_alias_maps for an address itself: with its detail,
// without, or by its name alone where that is local. virtual(5).
func (im *importer) entryOf(address string) (Entry, bool) {
	for _, a := range []string{address, im.plain(address)} {
		if e, ok := im.virtual.entry[a]; ok {
			return e, true
		}
		name, host, _ := strings.Cut(a, "@")
		if e, ok := im.virtual.entry[name]; ok && (host == im.origin || im.isLocal(host)) && im.ours(name) == nil {
			return e, true
		}
	}
	return Entry{}, false
}

// follow says where an address leads, as Postfix follows it: each address once.
func (im *importer) follow(address string, seen map[string]bool) []end {
	if seen[address] {
		return nil
	}
	seen[address] = true
	if len(seen) > maxFollowed {
		return []end{{address: address, why: "it leads to too many addresses"}}
	}
	if _, why := im.qualify(address); why != "" {
		return []end{{address: address, why: why}}
	}
	name, host, _ := strings.Cut(address, "@")
	if e, ok := im.entryOf(address); ok && !im.standsForItself(address, e) {
		if im.ours(host) != nil {
			return []end{{address: address}}
		}
		return im.followAll(im.virtualTargets(e), seen)
	} else if !ok {
		if e, ok := im.virtual.entry["@"+host]; ok {
			if to := im.caught(e, name); !contains(to, address) {
				return im.followAll(to, seen)
			}
		}
	}
	d := im.ours(host)
	switch {
	case im.isLocal(host):
		return im.followLocal(im.plain(address), address, seen)
	case contains(im.gone, host):
		return []end{{address: address, why: "it leads into " + host + ", which could not be carried over"}}
	case d == nil:
		return []end{{address: address, foreign: true}}
	case d.class == classAlias,
		d.class == classMailbox && !im.boxesAll && !im.boxes[im.plain(address)] && !im.boxes[address] && !im.boxes["@"+host],
		d.class == classRelay && !im.relayAll && !im.relayed[im.plain(address)] && !im.relayed[address] && !im.relayed["@"+host]:
		if _, own := im.virtual.entry[address]; !own {
			return []end{{address: address, nobody: true}}
		}
	}
	return []end{{address: address, box: true}}
}

func (im *importer) followAll(targets []string, seen map[string]bool) (all []end) {
	for _, t := range targets {
		all = append(all, im.follow(t, seen)...)
	}
	return all
}

// followLocal says where a local name leads. plain is the address without its detail.
func (im *importer) followLocal(plain, address string, seen map[string]bool) []end {
	name, _, _ := strings.Cut(plain, "@")
	place := im.place(name)
	e, alias := im.local.entry[name]
	switch {
	case alias && place == "":
		return im.followAll(im.localTargets(e, name), seen)
	case !alias && im.users != nil && !im.users[name]:
		if relay := im.luser(); relay != "" {
			return im.follow(relay, seen)
		}
		return []end{{address: address, nobody: true}}
	case place == "":
		return []end{{address: address, why: "the mailbox of the local user " + shown(name) + " has an address in no domain of ours"}}
	}
	if full, _, _ := strings.Cut(address, "@"); full != name {
		_, host, _ := strings.Cut(place, "@")
		place = full + "@" + host
	}
	return []end{{address: place, box: !alias}}
}

// place returns the address of a local name: in the first local domain in which
// virtual_alias_maps has nothing else for it; "" for none.
func (im *importer) place(name string) string {
	domains := im.localDomains()
	if len(domains) == 0 && im.ours(im.origin) != nil {
		domains = []string{im.origin}
	}
	for _, d := range domains {
		address := name + "@" + d
		if e, ok := im.entryOf(address); ok {
			if im.keeps(address, e) {
				return address
			}
			continue
		}
		if e, caught := im.virtual.entry["@"+d]; caught && !contains(im.caught(e, name), address) {
			continue
		}
		if o := im.ours(d); o.class != classAlias {
			return address
		}
	}
	return ""
}

// keeps reports whether an entry names the address that it is about, or the local user of
// that name, among its targets.
func (im *importer) keeps(address string, e Entry) bool {
	name, _, _ := strings.Cut(address, "@")
	return slices.ContainsFunc(im.virtualTargets(e), func(t string) bool {
		own, host, _ := strings.Cut(t, "@")
		if t == address {
			return true
		}
		_, again := im.entryOf(t)
		return own == name && contains(im.loopback, host) && !again
	})
}

// standsForItself reports whether an entry says nothing but that the address is itself, at
// which Postfix stops.
func (im *importer) standsForItself(address string, e Entry) bool {
	to := im.virtualTargets(e)
	return len(to) == 1 && (to[0] == address || to[0] == im.plain(address))
}

// virtualTargets are the targets of an entry as addresses; one that is none is left as it is.
func (im *importer) virtualTargets(e Entry) (all []string) {
	for _, t := range addressesOf(e.Value) {
		if a, why := im.qualify(t); why == "" {
			t = a
		}
		all = append(all, t)
	}
	return all
}

// caught are the targets of a catch-all for a name: "@other" is the same name there.
func (im *importer) caught(e Entry, name string) (all []string) {
	for _, t := range addressesOf(e.Value) {
		if strings.HasPrefix(t, "@") {
			t = name + t
		}
		if a, why := im.qualify(t); why == "" {
			t = a
		}
		all = append(all, t)
	}
	return all
}

// luser is where mail for unknown local names goes; "" for nowhere. Postfix asks for it
// only where it takes unknown names at all: with local_recipient_maps empty.
func (im *importer) luser() string {
	to := im.value("luser_relay")
	if to == "" || !im.given("local_recipient_maps") || strings.TrimSpace(im.value("local_recipient_maps")) != "" || strings.Contains(to, "$") {
		return ""
	}
	a, why := im.qualify(to)
	if why != "" {
		return ""
	}
	return a
}
