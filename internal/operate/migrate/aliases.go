package migrate

import (
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/mail"
)

// virtualAliases makes aliases of virtual_alias_maps: addresses of ours that stand for
// others, wherever they are. virtual(5).
func (im *importer) virtualAliases() {
	for _, key := range im.virtual.keys {
		e := im.virtual.entry[key]
		name, host, at := strings.Cut(key, "@")
		switch {
		case !at && im.ours(key) != nil:
			im.entry(e, Unneeded, TopicRecipients, "it says that the domain is ours, as its [domain] does")
		case !at:
			im.bare(e, key)
		case contains(im.gone, host):
			im.entry(e, Lost, TopicRecipients, "its domain %s could not be carried over", shown(host))
		case contains(im.loopback, host):
			im.entry(e, Carried, TopicRecipients, "put in wherever another entry leads to it")
		case im.ours(host) == nil:
			im.entry(e, Lost, TopicRecipients, "%s is no domain of ours", shown(host))
		case name == "":
			im.catchAll(e, host)
		default:
			im.alias(e, key, im.virtualTargets(e))
		}
	}
}

// bare makes aliases of an entry without a domain, which is about the name in myorigin and
// in every local domain.
func (im *importer) bare(e Entry, name string) {
	var hosts []string
	if im.ours(im.origin) != nil {
		hosts = append(hosts, im.origin)
	}
	for _, d := range im.localDomains() {
		if !contains(hosts, d) {
			hosts = append(hosts, d)
		}
	}
	first := true
	for _, h := range hosts {
		if _, own := im.virtual.entry[name+"@"+h]; own {
			continue
		}
		if !first {
			im.quietly(e, name+"@"+h, im.virtualTargets(e))
			continue
		}
		first = false
		im.alias(e, name+"@"+h, im.virtualTargets(e))
	}
	if first {
		im.entry(e, Lost, TopicRecipients, "no domain of ours has names without a domain")
	}
}

// quietly makes an alias of an entry that has its verdict already.
func (im *importer) quietly(e Entry, address string, to []string) {
	before := len(im.extra)
	im.alias(e, address, to)
	im.extra = im.extra[:before]
}

// localAliases makes aliases of alias_maps, in the local domains. Right sides without a
// domain are in myorigin. aliases(5).
func (im *importer) localAliases() {
	domains := im.localDomains()
	for _, name := range im.local.keys {
		e := im.local.entry[name]
		place := im.place(name)
		switch {
		case len(domains) == 0 && len(im.loopback) == 0:
			im.entry(e, Unneeded, TopicRecipients, "mydestination names no domain, so that Postfix never looks here")
			continue
		case place == "":
			im.entry(e, Carried, TopicRecipients, "put in wherever another entry leads to it: no local domain has the name for itself")
			continue
		}
		im.alias(e, place, im.localTargets(e, name))
		im.inOtherDomains(name, place)
	}
	for _, name := range sortedNames(im.users) {
		if im.local.entry[name].Key == "" && im.localDomain() != "" {
			im.resident(im.place(name))
		}
	}
}

// inOtherDomains gives a local name its address in the other local domains: there it is the
// same name.
func (im *importer) inOtherDomains(name, place string) {
	known := len(im.aliases[place]) > 0 || contains(im.people, place) || im.forwards[place].Account != "" || im.listed(place)
	for _, d := range im.localDomains() {
		address := name + "@" + d
		_, own := im.entryOf(address)
		_, caught := im.virtual.entry["@"+d]
		behind := im.ours(d).deliver != "maildir" && im.local.entry[name].Key == ""
		if known && address != place && !own && !caught && im.aliases[address] == nil && !behind {
			im.aliases[address] = []string{place}
		}
	}
}

func (im *importer) listed(address string) bool {
	_, host, _ := strings.Cut(address, "@")
	d := im.ours(host)
	return d != nil && d.list[address]
}

// resident notes somebody who receives mail: an account to make, or a recipient of a server
// behind us.
func (im *importer) resident(address string) {
	address = im.plain(address)
	name, host, _ := strings.Cut(address, "@")
	d := im.ours(host)
	if address == "@" || d == nil {
		return
	}
	d.list[address] = true
	if d.deliver == "maildir" && !contains(im.people, address) {
		im.people = append(im.people, address)
	}
	if d.class == classLocal && im.place(name) == address {
		im.inOtherDomains(name, address)
	}
}

// leads are the ends of the targets of one entry.
type leads struct {
	self    bool
	ours    []string
	foreign []string
	missing []string
	boxes   []string
}

// sorted follows the targets of an entry; why is what cannot be carried over.
func (im *importer) sorted(address string, to []string) (l leads, why string) {
	seen := map[string]bool{}
	for _, t := range to {
		ends := []end{{address: address, box: true}}
		if t != address && !im.isSelf(address, t) {
			ends = im.follow(t, seen)
		}
		for _, e := range ends {
			switch {
			case e.why != "":
				return l, shown(t) + ": " + e.why
			case e.nobody:
				l.missing = append(l.missing, e.address)
			case e.foreign && !contains(l.foreign, e.address):
				l.foreign = append(l.foreign, e.address)
			case e.foreign:
			case e.address == address:
				l.self = true
			case !contains(l.ours, e.address):
				l.ours = append(l.ours, e.address)
				if e.box {
					l.boxes = append(l.boxes, e.address)
				}
			}
		}
	}
	return l, ""
}

// isSelf reports whether a target of the alias of a local name is the mailbox of that name.
func (im *importer) isSelf(address, target string) bool {
	name, host, _ := strings.Cut(address, "@")
	own, at, _ := strings.Cut(target, "@")
	if own != name || !im.isLocal(at) || im.place(name) != address {
		return false
	}
	e, entry := im.entryOf(target)
	return !entry && im.isLocal(host) || entry && im.keeps(target, e) && contains(im.loopback, at) || !entry && contains(im.loopback, at)
}

// alias makes what an entry says: an alias, an account, a forward of that account, or both.
// It is carried over whole or not at all.
func (im *importer) alias(e Entry, address string, to []string) {
	if _, err := mail.ParseAddress(address, mail.UTF8); err != nil {
		im.entry(e, Lost, TopicRecipients, "%s is no address of a domain of ours", mail.Printable(address, mail.ValueShown))
		return
	}
	_, host, _ := strings.Cut(address, "@")
	d := im.ours(host)
	l, why := im.sorted(address, to)
	also := ""
	if len(l.missing) > 0 {
		also = "; left out, since nobody has it: " + brief(l.missing)
	}
	switch {
	case d == nil:
		im.entry(e, Lost, TopicRecipients, "%s is no address of a domain of ours", mail.Printable(address, mail.ValueShown))
		return
	case why != "":
		im.entry(e, Lost, TopicRecipients, "%s", why)
		return
	case len(to) == 0:
		im.entry(e, Lost, TopicRecipients, "it has no target")
		return
	case len(l.ours)+len(l.foreign)+len(l.missing) == 0 && !l.self:
		im.entry(e, Lost, TopicRecipients, "it leads back to itself, and nowhere else")
		return
	case len(l.ours)+len(l.foreign) == 0 && !l.self:
		im.entry(e, Changed, TopicRecipients, "nobody has the address that it leads to (%s): mail for it is refused, where Postfix returned it", brief(l.missing))
		return
	case len(l.foreign) > 0 && d.deliver != "maildir" && im.asked(d):
		im.entry(e, Lost, TopicRecipients, "it leads to another domain (%s): a forward belongs to an account here, and the server behind %s is asked who there is; forward it there", brief(l.foreign), d.name)
		return
	}
	im.settle(e, address, l, also)
}

// settle writes down what an entry leads to.
func (im *importer) settle(e Entry, address string, l leads, also string) {
	for _, b := range l.boxes {
		im.resident(b)
	}
	stays := l.self || len(l.foreign) > 0
	if stays {
		im.resident(address)
	}
	if len(l.foreign) > 0 && !contains(im.people, address) {
		im.people = append(im.people, address) // a server behind us has the mailbox, and this one the account
	}
	if len(l.ours) > 0 {
		im.aliases[address] = l.ours
		if stays {
			im.aliases[address] = append([]string{address}, l.ours...)
		}
	}
	if len(l.foreign) > 0 {
		im.forwards[address] = Forward{Account: address, Targets: l.foreign, Keep: l.self}
	}
	switch {
	case len(l.foreign) > 0 && len(l.ours) > 0:
		im.entry(e, Carried, TopicRecipients, "alias %s, beside an account of that name with a forward, both told below%s", address, also)
	case len(l.foreign) > 0:
		im.entry(e, Carried, TopicRecipients, "account %s with a forward, both told below%s", address, also)
	case len(l.ours) > 0 && l.self:
		im.entry(e, Carried, TopicRecipients, "alias %s, beside the account of that name, which keeps its copy%s", address, also)
	case len(l.ours) > 0:
		im.entry(e, Carried, TopicRecipients, "alias %s%s", address, also)
	default:
		im.entry(e, Unneeded, TopicRecipients, "it stands for itself, as %s%s", address, also)
	}
}

// catchAll makes what takes every name of a domain that nothing else has. In Postfix it
// also comes before the domain's own mailboxes: those without an entry get no mail.
func (im *importer) catchAll(e Entry, host string) {
	to := addressesOf(e.Value)
	if len(to) == 1 && strings.HasPrefix(to[0], "@") {
		im.domainAlias(e, host, strings.ToLower(to[0][1:]))
		return
	}
	address := "@" + host
	l, why := im.sorted(address, im.caught(e, ""))
	switch {
	case slices.ContainsFunc(to, func(t string) bool { return strings.HasPrefix(t, "@") }):
		im.entry(e, Lost, TopicRecipients, "a catch-all keeps no copies: every name that is somebody's needs an account or an alias")
	case why != "":
		im.entry(e, Lost, TopicRecipients, "%s", why)
	case len(l.foreign) > 0:
		im.entry(e, Lost, TopicRecipients, "it leads to another domain (%s), and every name that a stranger invents would leave this server", brief(l.foreign))
	case len(l.ours) == 0:
		im.entry(e, Changed, TopicRecipients, "nobody has the address that it leads to")
	default:
		for _, b := range l.boxes {
			im.resident(b)
		}
		im.aliases[address] = l.ours
		im.entry(e, Carried, TopicRecipients, "alias %s", address)
	}
}

// domainAlias gives every name that is known in one domain its address in another: "@a @b".
func (im *importer) domainAlias(e Entry, host, other string) {
	d := im.ours(other)
	switch {
	case other == host:
		im.entry(e, Unneeded, TopicRecipients, "it stands for itself")
		return
	case d == nil:
		im.entry(e, Lost, TopicRecipients, "%s is no domain of ours", shown(other))
		return
	}
	names := map[string]bool{}
	for _, keys := range [][]string{im.virtual.keys, sortedNames(im.boxes), sortedNames(im.relayed)} {
		for _, k := range keys {
			if n, h, at := strings.Cut(k, "@"); at && h == other && n != "" {
				names[n] = true
			}
		}
	}
	if d.class == classLocal {
		for _, n := range im.local.keys {
			names[n] = true
		}
		for n := range im.users {
			names[n] = true
		}
	}
	for _, n := range sortedNames(names) {
		if _, own := im.virtual.entry[n+"@"+host]; !own {
			im.quietly(e, n+"@"+host, []string{n + "@" + other})
		}
	}
	if whole, ok := im.virtual.entry["@"+other]; ok {
		before := len(im.extra)
		im.catchAll(Entry{Key: "@" + host, Value: whole.Value, File: e.File, Line: e.Line}, host)
		im.extra = im.extra[:before]
	}
	unknown := d.class == classMailbox && im.boxesAll || d.class == classRelay && im.relayAll || d.class == classLocal && im.users == nil
	if unknown {
		im.entry(e, Lost, TopicRecipients, "%d names that are known in %s are aliases in %s; who else has one there is listed nowhere: each needs an alias of its own", len(names), other, host)
		return
	}
	im.entry(e, Carried, TopicRecipients, "an alias in %s for each of the %d names of %s; later ones need one of their own", host, len(names), other)
}

// mailboxes tells of the people whom virtual_mailbox_maps and relay_recipient_maps list.
func (im *importer) mailboxes() {
	for _, keys := range []map[string]bool{im.boxes, im.relayed} {
		for _, k := range sortedNames(keys) {
			name, host, at := strings.Cut(k, "@")
			d := im.ours(host)
			if !at || d == nil || d.class != classMailbox && d.class != classRelay {
				continue
			}
			if name == "" {
				d.listed = false
				if d.deliver == "maildir" {
					im.beside("virtual_mailbox_maps", k, Lost, TopicRecipients, "a mailbox for every name of the domain: make an account, and 'sallyport alias add %s THE-ACCOUNT'", k)
				}
				continue
			}
			e, own := im.entryOf(k)
			_, caught := im.virtual.entry["@"+host]
			if own && !im.standsForItself(k, e) && !im.keeps(k, e) || !own && caught && !contains(im.aliases["@"+host], k) {
				continue // virtual_alias_maps comes first
			}
			im.resident(k)
		}
	}
}

// catchLocal takes what luser_relay took.
func (im *importer) catchLocal() {
	const name = "luser_relay"
	if !im.given(name) {
		return
	}
	relay := im.luser()
	switch {
	case strings.TrimSpace(im.value(name)) == "":
		im.note(name, Unneeded, TopicRecipients, "it names nobody")
		return
	case strings.TrimSpace(im.value("local_recipient_maps")) != "" || !im.given("local_recipient_maps"):
		im.note(name, Unneeded, TopicRecipients, "unknown names were refused before it was asked for, since local_recipient_maps is not empty")
		return
	case relay == "":
		im.note(name, Lost, TopicRecipients, "%s is no address", shown(im.value(name)))
		return
	}
	for _, d := range im.localDomains() {
		l, why := im.sorted("@"+d, []string{relay})
		if why != "" || len(l.ours) == 0 || len(l.foreign) > 0 {
			im.note(name, Lost, TopicRecipients, "%s is no address of ours that a catch-all can lead to", shown(relay))
			return
		}
		for _, b := range l.boxes {
			im.resident(b)
		}
		if im.aliases["@"+d] == nil {
			im.aliases["@"+d] = l.ours
		}
	}
	im.note(name, Carried, TopicRecipients, "a catch-all of each local domain")
}

// keepsCopy reports whether an alias stands beside the account of its address.
func (im *importer) keepsCopy(address string) bool { return contains(im.aliases[address], address) }

// breakCircles makes an account of an address whose aliases lead back to it and to nobody on
// the way, as Postfix does, which expands no address twice.
func (im *importer) breakCircles() {
	for _, key := range sortedAliases(im.aliases) {
		if im.keepsCopy(key) || !im.circles(key, im.aliases[key], map[string]bool{}) {
			continue
		}
		delete(im.aliases, key)
		im.resident(key)
		e, ok := im.entryOf(key)
		if name, _, _ := strings.Cut(key, "@"); !ok {
			e = im.local.entry[name]
		}
		im.entry(e, Lost, TopicRecipients, "it leads back to itself: %s is an account instead", key)
	}
	if most := im.deepest(); most > aliasDepth {
		im.limits = append(im.limits, setting{"alias_depth", strconv.Itoa(min(most, mostDepth))})
	}
}

// aliasDepth is limits.alias_depth where nothing is said.
const aliasDepth = 10

// circles reports whether aliases that keep no copy lead to an address.
func (im *importer) circles(key string, from []string, seen map[string]bool) bool {
	return slices.ContainsFunc(from, func(t string) bool {
		if t == key {
			return true
		}
		if seen[t] || im.keepsCopy(t) {
			return false
		}
		seen[t] = true
		return im.circles(key, im.aliases[t], seen)
	})
}

// mostDepth is the highest that limits.alias_depth may be: aliases that follow each other more often are not followed further.
const mostDepth = 100

// deepest is how many aliases follow each other at most.
func (im *importer) deepest() (most int) {
	known := map[string]int{}
	var walk func(a string, way int) int
	walk = func(a string, way int) int {
		if n, ok := known[a]; ok || len(im.aliases[a]) == 0 || way > mostDepth {
			return n
		}
		known[a] = 0 // where it is met again on its way
		deep := 0
		for _, t := range im.aliases[a] {
			if t != a {
				deep = max(deep, walk(t, way+1))
			}
		}
		known[a] = deep + 1
		return deep + 1
	}
	for _, a := range sortedAliases(im.aliases) {
		most = max(most, walk(a, 0))
	}
	return most
}

// checkCatchAlls gives up a catch-all that leads to an account with a forward: every name
// that a stranger invents would leave this server.
func (im *importer) checkCatchAlls() {
	for _, d := range im.domains {
		key := "@" + d.name
		if len(im.aliases[key]) == 0 || !im.leaves(im.aliases[key], 0) {
			continue
		}
		delete(im.aliases, key)
		e, ok := im.virtual.entry[key]
		if !ok {
			e = Entry{Key: key, File: im.main}
		}
		im.extra = slices.DeleteFunc(im.extra, func(v Verdict) bool { return v.File == e.File && v.Line == e.Line && v.What == shown(e.Key) })
		im.entry(e, Lost, TopicRecipients, "it leads to an account whose mail is forwarded, and every name that a stranger invents would leave this server; name the addresses in aliases")
	}
}

func (im *importer) leaves(addresses []string, depth int) bool {
	return depth <= maxDepth && slices.ContainsFunc(addresses, func(a string) bool {
		a = im.plain(a)
		if im.forwards[a].Account != "" {
			return true
		}
		next := slices.DeleteFunc(slices.Clone(im.aliases[a]), func(t string) bool { return t == a })
		return im.leaves(next, depth+1)
	})
}
