package directory

import (
	"maps"
	"slices"

	"sallyport/internal/mail"
)

// Entries are entries of a directory, by their kinds.
type Entries struct {
	Domains   []Domain
	Aliases   []Alias
	Forwards  []Forward
	Delegates []Delegate
	Contacts  []Contact
	Accounts  []mail.Address
}

// Change is what becomes of a directory that stands. What is replaced is among Removed as it was,
// and among Put as it will be.
type Change struct {
	Removed, Put Entries
	// Domains are all domains afterwards, in the order of a Config, where any of them changes.
	Domains []Domain
}

// With returns the snapshot after a change of one that Check found nothing in, and every entry that
// the change touches: those that were put, what leads to anything that changed, over however many
// steps, and the rights to send as it. Of any other entry, what Classify, Ownership and Check say
// is what it was.
//
// It is false where it cannot say so quickly: where something does not go together, where the
// change touches too much, or where it changes what everything rests on. NewSnapshot and Check then
// say what the matter is. Where it is true, they find nothing.
func (s *Snapshot) With(c Change) (next *Snapshot, touched Entries, ok bool) {
	if s.accounts == nil {
		return nil, Entries{}, false
	}
	b := *s.base
	next = &Snapshot{base: &b}
	e := edit{before: s, next: next, accounts: *s.accounts, f: &faults{}}
	if !e.domains(c) || !e.remove(c.Removed) || !e.put(c.Put) || len(e.f.found) > 0 {
		return nil, Entries{}, false
	}
	next.accounts = &e.accounts
	if len(c.Put.Domains) > 0 && e.leadsOut() || len(c.Removed.Domains) > 0 && e.stranded() {
		return nil, Entries{}, false
	}
	u, ok := e.touched(c)
	if !ok {
		return nil, Entries{}, false
	}
	touched = u.entries(c)
	if !next.stands(touched.Aliases, c.Put.Forwards) || !s.stands(c.Removed.Aliases, nil) {
		return nil, Entries{}, false
	}
	return next, touched, true
}

// edit makes a snapshot of another one. What it changes it copies.
type edit struct {
	before, next *Snapshot
	accounts     shelf[mail.Address]
	f            *faults
}

// domains takes the domains of afterwards. What the first domain is and whom a directory elsewhere
// lists changes too much.
func (e *edit) domains(c Change) bool {
	b, changed := e.next.base, slices.Concat(c.Removed.Domains, c.Put.Domains)
	if len(changed) == 0 {
		return true
	}
	if len(c.Domains) == 0 || c.Domains[0].Name != b.list[0].Name {
		return false
	}
	for _, d := range changed {
		if len(d.List) > 0 || d.Unlisted || d.Name.IsZero() || d.Name == b.hostname || d.Name == b.list[0].Name {
			return false
		}
		if _, routed := b.routes[d.Name]; routed {
			return false
		}
	}
	b.list, b.domains = slices.Clone(c.Domains), make(map[mail.Domain]Domain, len(c.Domains))
	for _, d := range b.list {
		b.domains[d.Name] = d
	}
	for _, d := range b.list {
		b.checkOurs(d.Postmaster, d.Subject(), "the postmaster of "+d.Name.String(), e.f)
	}
	b.checkOurs(b.postmaster, Subject{}, "the postmaster", e.f)
	for _, d := range c.Put.Domains {
		d.check(e.f)
	}
	return len(b.domains) == len(b.list)
}

// remove takes entries away; false: one is not there.
func (e *edit) remove(r Entries) bool {
	b, all := e.next.base, true
	for _, a := range r.Aliases {
		var there bool
		if a.CatchAll.IsZero() {
			a, there = b.aliases.get(a.key())
			b.aliases = b.aliases.without(a.key())
		} else {
			a, there = b.catchAlls[a.CatchAll]
			b.catchAlls = maps.Clone(b.catchAlls)
			delete(b.catchAlls, a.CatchAll)
		}
		for _, t := range a.Targets {
			b.unlead(t, a.key())
		}
		all = all && there
	}
	for _, fw := range r.Forwards {
		_, there := b.forwards.get(fw.Account.Key())
		b.forwards, all = b.forwards.without(fw.Account.Key()), all && there
	}
	for _, c := range r.Contacts {
		_, there := b.contacts.get(c.Account.Key())
		b.contacts, all = b.contacts.without(c.Account.Key()), all && there
	}
	for _, d := range r.Delegates {
		key := d.Account.Key()
		of := b.delegates.of(key)
		of.as = maps.Clone(of.as)
		_, there := of.as[d.Address.Key()]
		delete(of.as, d.Address.Key())
		if b.delegates = b.delegates.with(key, of); len(of.as) == 0 {
			b.delegates = b.delegates.without(key)
		}
		b.unlead(d.Address, rightOf(key))
		all = all && there
	}
	for _, a := range r.Accounts {
		_, there := e.accounts.get(a.Key())
		e.accounts, all = e.accounts.without(a.Key()), all && there
	}
	return all
}

// put adds entries; false: one does not go together with what there is.
func (e *edit) put(p Entries) bool {
	b := e.next.base
	for _, a := range p.Accounts {
		if _, twice := e.accounts.get(a.Key()); twice || a.IsZero() {
			return false
		}
		if alias, ok := b.aliases.get(a.Key()); ok && !alias.Keeps() {
			return false
		}
		e.accounts = e.accounts.with(a.Key(), a)
	}
	for _, a := range p.Aliases {
		b.checkAlias(a, e.f)
		if _, account := e.accounts.get(a.Address.Key()); account && !a.Keeps() {
			return false
		}
		a.Targets = slices.Clone(a.Targets)
		if a.CatchAll.IsZero() {
			b.aliases = b.aliases.with(a.key(), a)
		} else {
			b.catchAlls = maps.Clone(b.catchAlls)
			b.catchAlls[a.CatchAll] = a
		}
		for _, t := range a.Targets {
			b.lead(t, a.key())
		}
	}
	for _, fw := range p.Forwards {
		b.checkForward(fw, e.f)
		b.forwards = b.forwards.with(fw.Account.Key(), fw.clone())
	}
	for _, c := range p.Contacts {
		b.checkContact(c, e.f)
		b.contacts = b.contacts.with(c.Account.Key(), c.clone())
	}
	for _, d := range p.Delegates {
		b.checkDelegate(d, e.f)
		key := d.Account.Key()
		of, has := b.delegates.get(key)
		if !has {
			of = rights{d.Account, map[string]mail.Address{}}
		}
		of.as = maps.Clone(of.as)
		of.as[d.Address.Key()] = d.Address
		b.delegates = b.delegates.with(key, of)
		b.lead(d.Address, rightOf(key))
	}
	return true
}

// leadsOut reports whether a forward or a contact leads to a domain that is ours now.
func (e *edit) leadsOut() bool {
	ours := func(a mail.Address) bool { _, ok := e.next.base.domains[a.Domain()]; return ok }
	for _, fw := range e.next.base.forwards.all {
		if slices.ContainsFunc(fw.Targets, ours) {
			return true
		}
	}
	for _, c := range e.next.base.contacts.all {
		if ours(c.Address) {
			return true
		}
	}
	return false
}

// stranded reports whether an entry stands in, or leads to, a domain that is not ours any more.
func (e *edit) stranded() bool {
	b := e.next.base
	gone := func(a mail.Address) bool { _, ours := b.domains[a.Domain()]; return !ours }
	for _, a := range b.aliases.all {
		if gone(a.Address) || slices.ContainsFunc(a.Targets, gone) {
			return true
		}
	}
	for d, a := range b.catchAlls {
		own, here := b.domains[d]
		if !here || own.Recipients == RecipientsCallout || slices.ContainsFunc(a.Targets, gone) {
			return true
		}
	}
	for _, fw := range b.forwards.all {
		if gone(fw.Account) {
			return true
		}
	}
	for _, c := range b.contacts.all {
		if gone(c.Account) {
			return true
		}
	}
	for _, of := range b.delegates.all {
		if gone(of.account) || slices.ContainsFunc(slices.Collect(maps.Values(of.as)), gone) {
			return true
		}
	}
	return false
}

// touched follows a change to all that it reaches; false: that is too much.
func (e *edit) touched(c Change) (*upstream, bool) {
	u := e.next.upstream()
	for _, change := range []Entries{c.Removed, c.Put} {
		for _, a := range change.Aliases {
			u.add(a.key())
		}
		for _, a := range change.Accounts {
			u.add(a.Key())
			u.rights[a.Key()] = true
		}
		for _, d := range change.Domains {
			u.within(d.Name, e.before)
			for key, contact := range e.next.base.contacts.all {
				if slices.ContainsFunc(contact.Former, func(f FormerContact) bool { return f.Address.Domain() == d.Name }) {
					u.rights[key] = true
				}
			}
		}
	}
	most := e.next.mostTouched()
	if !u.close(most) {
		return nil, false
	}
	for d := range e.next.base.catchAlls {
		if u.names[catchAllKey(d)] {
			u.unknown(d)
		}
	}
	for d := range e.before.base.catchAlls {
		if u.names[catchAllKey(d)] {
			u.unknown(d)
		}
	}
	for _, fw := range slices.Concat(c.Removed.Forwards, c.Put.Forwards) {
		u.rights[fw.Account.Key()] = true
	}
	for _, d := range slices.Concat(c.Removed.Delegates, c.Put.Delegates) {
		u.rights[d.Account.Key()] = true
	}
	for _, d := range slices.Concat(c.Removed.Contacts, c.Put.Contacts) {
		u.rights[d.Account.Key()] = true
	}
	return u, len(u.names)+len(u.rights) <= most
}

// entries are what stands under the names that a change reaches, and the domains in which names
// were given or taken.
func (u *upstream) entries(c Change) (t Entries) {
	b, domains := u.snapshot.base, map[mail.Domain]Domain{}
	within := func(d mail.Domain) {
		if own, ok := b.domains[d]; ok {
			domains[d] = own
		}
	}
	for _, change := range []Entries{c.Removed, c.Put} {
		for _, d := range change.Domains {
			domains[d.Name] = Domain{Name: d.Name}
			within(d.Name)
		}
		for _, a := range change.Aliases {
			within(a.Address.Domain())
		}
		for _, a := range change.Accounts {
			within(a.Domain())
		}
	}
	for d, a := range b.catchAlls {
		if u.names[catchAllKey(d)] {
			t.Aliases = append(t.Aliases, a)
		}
	}
	for d := range u.snapshot.base.domains {
		end := "@" + d.ASCII()
		if u.names[catchAllKey(d)] || u.names[postmasterLocal+end] || u.names[abuseLocal+end] {
			within(d)
		}
	}
	for key := range u.names {
		if a, ok := b.aliases.get(key); ok {
			t.Aliases = append(t.Aliases, a)
		}
		if a, ok := u.snapshot.accounts.get(key); ok {
			t.Accounts = append(t.Accounts, a)
		}
	}
	u.owned(&t)
	t.Domains = slices.Collect(maps.Values(domains))
	return t
}

// owned adds the rights of the accounts that are touched.
func (u *upstream) owned(t *Entries) {
	b := u.snapshot.base
	for key := range u.rights {
		if fw, ok := b.forwards.get(key); ok {
			t.Forwards = append(t.Forwards, fw)
		}
		if c, ok := b.contacts.get(key); ok {
			t.Contacts = append(t.Contacts, c)
		}
		of := b.delegates.of(key)
		for _, as := range of.as {
			t.Delegates = append(t.Delegates, Delegate{Account: of.account, Address: as})
		}
	}
}

// stands is Check of some aliases, and of the catch-alls that lead to forwards. It is false as well
// where they lead into a circle that ends at a copy: what Check counts of that depends on which
// alias it begins at.
func (s *Snapshot) stands(aliases []Alias, forwards []Forward) bool {
	c := checker{snapshot: s, done: map[string]reach{}, culprits: map[string]bool{}}
	u := s.upstream()
	for _, fw := range forwards {
		u.add(fw.Account.Key())
	}
	u.close(s.base.leads.size + len(s.base.list)*2 + len(forwards) + maxTouched)
	aliases = slices.Clone(aliases)
	for d, a := range s.base.catchAlls {
		if u.names[catchAllKey(d)] {
			aliases = append(aliases, a)
		}
	}
	for _, a := range aliases {
		c.open, c.cut = nil, map[string]reach{}
		if !a.CatchAll.IsZero() {
			if len(c.catchAll(a)) > 0 {
				return false
			}
			continue
		}
		if r := c.walk(a.Address); r.fault.Text != "" {
			return false
		}
	}
	return !c.circles
}
