package proof_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sallyport/internal/directory"
	"sallyport/internal/directory/proof"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// made is a directory that is written down by the names of its entries, so that one may be put or
// removed.
type made struct {
	domains   map[string]directory.Domain
	aliases   map[string]directory.Alias
	forwards  map[string]directory.Forward
	delegates map[string]directory.Delegate
	contacts  map[string]directory.Contact
	accounts  map[string]mail.Address
}

func (m made) clone() made {
	return made{maps.Clone(m.domains), maps.Clone(m.aliases), maps.Clone(m.forwards), maps.Clone(m.delegates), maps.Clone(m.contacts), maps.Clone(m.accounts)}
}

// start is a directory with aliases that lead to others, which changes build on.
func (c changes) start() made {
	m := made{map[string]directory.Domain{}, map[string]directory.Alias{}, map[string]directory.Forward{}, map[string]directory.Delegate{}, map[string]directory.Contact{}, map[string]mail.Address{}}
	m.domains["d0.test"] = directory.Domain{Name: domain(c.t, "d0.test"), Deliver: directory.DeliverMaildir}
	m.domains["d1.test"] = directory.Domain{Name: domain(c.t, "d1.test"), Deliver: directory.DeliverMaildir, Postmaster: addr(c.t, "v@d0.test")}
	for _, a := range []string{"u@d0.test", "b@d0.test", "b@d1.test"} {
		m.accounts[a] = addr(c.t, a)
	}
	for name, to := range map[string][]string{
		"a@d0.test": {"c@d1.test", "b@d0.test"}, "c@d1.test": {"v@d0.test", "u@d0.test"}, "a@d1.test": {"a@d0.test"},
	} {
		a := directory.Alias{Address: addr(c.t, name), Posting: directory.PostingAnyone}
		for _, t := range to {
			a.Targets = append(a.Targets, addr(c.t, t))
		}
		m.aliases[name] = a
	}
	m.delegates["b@d0.test a@d1.test"] = directory.Delegate{Account: addr(c.t, "b@d0.test"), Address: addr(c.t, "a@d1.test")}
	return m
}

// copies reports whether an alias keeps a copy, so that a circle may end there: then it may be that only
// the whole can be judged.
func (m made) copies() bool {
	for _, a := range m.aliases {
		if a.Keeps() {
			return true
		}
	}
	return false
}

func ordered[V any](m map[string]V) (all []V) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[k])
	}
	return all
}

func (m made) config(t testing.TB) (directory.Config, []mail.Address) {
	return directory.Config{
		Hostname: domain(t, "mx.local.test"), Domains: ordered(m.domains), Aliases: ordered(m.aliases), Forwards: ordered(m.forwards),
		Delegates: ordered(m.delegates), Contacts: ordered(m.contacts), Detail: '+', MaxDepth: 4, MaxExpansion: 6, ForwardExternal: true,
		Routes: []directory.Route{{Domain: domain(t, "routed.test"), Host: "relay.test", Port: 25, TLS: mail.TLSRequired}},
	}, ordered(m.accounts)
}

// changes makes one change of a directory by chance.
type changes struct {
	t  testing.TB
	rt *rapid.T
}

func (c changes) pick(what string, of ...string) string {
	return rapid.SampledFrom(of).Draw(c.rt, what)
}

func (c changes) local() string {
	return c.pick("local", "a", "b", "c", "u", "v", "victim", "postmaster", "abuse", "a+x", "u+victim")
}

func (c changes) domain() string {
	return c.pick("domain", "d0.test", "d0.test", "d1.test", "d2.test", "sub.d0.test", "mx.local.test")
}

// address is mostly one that something leads to or from at the start.
func (c changes) address() mail.Address {
	if rapid.IntRange(0, 3).Draw(c.rt, "any") == 3 {
		return addr(c.t, c.local()+"@"+c.domain())
	}
	return addr(c.t, c.pick("address", "v@d0.test", "u@d0.test", "a@d0.test", "b@d0.test", "c@d1.test", "b@d1.test", "a@d1.test", "c@d0.test"))
}

func (c changes) outside() mail.Address {
	return addr(c.t, c.pick("outside", "x@away.test", "y@away.test", "a@sub.d0.test", "u@d2.test", "z@routed.test"))
}

// set puts or removes one entry of a kind, in the model and in what the change says.
func set[V any](m map[string]V, name string, v V, put bool, removed, added *[]V) {
	before, had := m[name]
	if had {
		*removed = append(*removed, before)
		delete(m, name)
	}
	if put {
		*added = append(*added, v)
		m[name] = v
	}
}

func (c changes) one(m made) (made, directory.Change) {
	next, ch := m.clone(), directory.Change{}
	put := rapid.IntRange(0, 3).Draw(c.rt, "put") > 0
	switch c.pick("kind", "alias", "alias", "alias", "alias", "catch-all", "account", "account", "forward", "delegate", "contact", "domain", "rename", "rename") {
	case "alias":
		a := directory.Alias{Address: c.address(), Posting: directory.PostingAnyone}
		for range rapid.IntRange(1, 3).Draw(c.rt, "targets") {
			a.Targets = append(a.Targets, c.address())
		}
		switch rapid.IntRange(0, 7).Draw(c.rt, "closed") {
		case 0, 1:
			a.Posting = directory.PostingMembers
		case 2:
			a.Posting = directory.PostingAccounts
		}
		set(next.aliases, a.Name(), a, put, &ch.Removed.Aliases, &ch.Put.Aliases)
	case "catch-all":
		a := directory.Alias{CatchAll: domain(c.t, c.domain()), Targets: []mail.Address{c.address()}, Posting: directory.PostingAnyone}
		set(next.aliases, a.Name(), a, put, &ch.Removed.Aliases, &ch.Put.Aliases)
	case "account":
		a := c.address()
		set(next.accounts, a.Key(), a, put, &ch.Removed.Accounts, &ch.Put.Accounts)
	case "forward":
		f := directory.Forward{Account: c.address(), Targets: []mail.Address{c.outside()}, Keep: rapid.IntRange(0, 2).Draw(c.rt, "keeps") > 0}
		if more := c.outside(); more.Key() != f.Targets[0].Key() && rapid.Bool().Draw(c.rt, "two") {
			f.Targets = append(f.Targets, more)
		}
		set(next.forwards, f.Account.Key(), f, put, &ch.Removed.Forwards, &ch.Put.Forwards)
	case "delegate":
		d := directory.Delegate{Account: c.address(), Address: c.address()}
		set(next.delegates, d.Subject().Name, d, put, &ch.Removed.Delegates, &ch.Put.Delegates)
	case "contact":
		k := directory.Contact{Account: c.address(), Address: c.outside(), Former: []directory.FormerContact{{Address: c.outside()}}}
		set(next.contacts, k.Account.Key(), k, put, &ch.Removed.Contacts, &ch.Put.Contacts)
	case "domain":
		d := c.delivered(directory.Domain{Name: domain(c.t, c.pick("which", "d1.test", "d2.test", "sub.d0.test")), Deliver: directory.DeliverMaildir})
		if rapid.Bool().Draw(c.rt, "named") {
			d.Postmaster = c.address()
		}
		set(next.domains, d.Name.String(), d, put, &ch.Removed.Domains, &ch.Put.Domains)
		ch.Domains = ordered(next.domains)
		if !put {
			c.empty(&next, &ch, d.Name)
		}
	case "rename":
		c.renamed(&next, &ch, put)
	}
	return next, ch
}

// delivered has the mail of a domain go to a server behind us, now and then.
func (c changes) delivered(d directory.Domain) directory.Domain {
	how := c.pick("delivered", "here", "here", "asked", "accounts", "listed", "unheard")
	if how == "here" {
		return d
	}
	d.Deliver, d.Server = directory.DeliverSMTP, directory.Server{Host: "10.0.0.5", Port: 25, TLS: mail.TLSOpportunistic}
	switch how {
	case "asked":
		d.Recipients = directory.RecipientsCallout
	case "accounts":
		d.Recipients = directory.RecipientsAccounts
	default:
		d.Recipients = directory.RecipientsList
		d.Unlisted = how == "unheard"
		for _, local := range []string{"a", "u", "v", "abuse"} {
			if rapid.Bool().Draw(c.rt, "listed") {
				d.List = append(d.List, addr(c.t, local+"@"+d.Name.ASCII()))
			}
		}
	}
	return d
}

// several is one change of an entry, or of some at once, as a rename or a reload makes it.
func (c changes) several(m made) (made, directory.Change) {
	next, all := c.one(m)
	for range rapid.IntRange(0, 2).Draw(c.rt, "more") {
		then, change := c.one(next)
		if overlap(all, change) {
			continue
		}
		next = then
		join(&all.Removed, change.Removed)
		join(&all.Put, change.Put)
		if change.Domains != nil {
			all.Domains = change.Domains
		}
	}
	return next, all
}

func join(to *directory.Entries, e directory.Entries) {
	to.Domains, to.Aliases, to.Forwards = append(to.Domains, e.Domains...), append(to.Aliases, e.Aliases...), append(to.Forwards, e.Forwards...)
	to.Delegates, to.Contacts, to.Accounts = append(to.Delegates, e.Delegates...), append(to.Contacts, e.Contacts...), append(to.Accounts, e.Accounts...)
}

// overlap reports whether two changes are about one entry.
func overlap(a, b directory.Change) bool {
	names := func(c directory.Change) (all []string) {
		for _, e := range []directory.Entries{c.Removed, c.Put} {
			for _, d := range e.Domains {
				all = append(all, "domain "+d.Name.String())
			}
			for _, d := range e.Aliases {
				all = append(all, "alias "+d.Name())
			}
			for _, d := range e.Forwards {
				all = append(all, "forward "+d.Account.Key())
			}
			for _, d := range e.Delegates {
				all = append(all, "delegate "+d.Subject().Name)
			}
			for _, d := range e.Contacts {
				all = append(all, "contact "+d.Account.Key())
			}
			for _, d := range e.Accounts {
				all = append(all, "account "+d.Key())
			}
		}
		return all
	}
	of := names(a)
	return slices.ContainsFunc(names(b), func(n string) bool { return slices.Contains(of, n) })
}

// renamed gives an account another address, which what leads to it and its rights then name; with
// keep, an alias stays where it was.
func (c changes) renamed(next *made, ch *directory.Change, keep bool) {
	if len(next.accounts) == 0 {
		return
	}
	from, to := next.accounts[c.pick("from", slices.Sorted(maps.Keys(next.accounts))...)], c.address()
	if _, taken := next.accounts[to.Key()]; taken || from == to {
		return
	}
	set(next.accounts, from.Key(), from, false, &ch.Removed.Accounts, nil)
	set(next.accounts, to.Key(), to, true, nil, &ch.Put.Accounts)
	for _, a := range ordered(next.aliases) {
		if i := slices.Index(a.Targets, from); i >= 0 && a.Address != from {
			a.Targets = slices.Clone(a.Targets)
			a.Targets[i] = to
			set(next.aliases, a.Name(), a, true, &ch.Removed.Aliases, &ch.Put.Aliases)
		}
	}
	for name, d := range maps.Clone(next.delegates) {
		if d.Account == from {
			set(next.delegates, name, d, false, &ch.Removed.Delegates, nil)
			d.Account = to
			set(next.delegates, d.Subject().Name, d, true, &ch.Removed.Delegates, &ch.Put.Delegates)
		}
	}
	if f, ok := next.forwards[from.Key()]; ok {
		set(next.forwards, from.Key(), f, false, &ch.Removed.Forwards, nil)
		f.Account = to
		set(next.forwards, to.Key(), f, true, &ch.Removed.Forwards, &ch.Put.Forwards)
	}
	if _, taken := next.aliases[from.Key()]; keep && !taken {
		a := directory.Alias{Address: from, Targets: []mail.Address{to}, Posting: directory.PostingAnyone}
		set(next.aliases, a.Name(), a, true, &ch.Removed.Aliases, &ch.Put.Aliases)
	}
}

// empty removes with a domain what stands in it.
func (c changes) empty(next *made, ch *directory.Change, d mail.Domain) {
	for name, a := range next.aliases {
		if a.Address.Domain() == d || a.CatchAll == d {
			set(next.aliases, name, a, false, &ch.Removed.Aliases, nil)
		}
	}
	for name, f := range next.forwards {
		if f.Account.Domain() == d {
			set(next.forwards, name, f, false, &ch.Removed.Forwards, nil)
		}
	}
	for name, e := range next.delegates {
		if e.Account.Domain() == d || e.Address.Domain() == d {
			set(next.delegates, name, e, false, &ch.Removed.Delegates, nil)
		}
	}
	for name, k := range next.contacts {
		if k.Account.Domain() == d {
			set(next.contacts, name, k, false, &ch.Removed.Contacts, nil)
		}
	}
}

// planted are faults of the classification, or of who owns what, that open some directories and
// others not: each by what a few entries far from each other come to.
func planted(t testing.TB) map[string]func(w proof.World, s *directory.Snapshot) proof.World {
	out := addr(t, "victim@outside.invalid")
	classes := func(wrong func(s *directory.Snapshot, account, a mail.Address, c directory.Class) bool) func(proof.World, *directory.Snapshot) proof.World {
		return func(w proof.World, s *directory.Snapshot) proof.World {
			w.Classify = func(account, a mail.Address) directory.Class {
				c := s.ClassifyFor(account, a)
				if wrong(s, account, a, c) {
					return directory.Class{Destination: gate.DestinationMailbox, Rule: "planted", Mailboxes: []directory.Mailbox{{Account: out}}}
				}
				return c
			}
			return w
		}
	}
	reaches := func(c directory.Class, local string) bool {
		return slices.ContainsFunc(c.Mailboxes, func(m directory.Mailbox) bool { return m.Account.Local() == local })
	}
	owned := func(wrong func(s *directory.Snapshot, account mail.Address) bool) func(proof.World, *directory.Snapshot) proof.World {
		return func(w proof.World, s *directory.Snapshot) proof.World {
			w.Ownership = func(account mail.Address, from mail.ReversePath) gate.Ownership {
				if o := s.Ownership(account, from); o != gate.OwnershipForeign || account.IsZero() || !wrong(s, account) {
					return o
				}
				return gate.OwnershipOwned
			}
			return w
		}
	}
	return map[string]func(proof.World, *directory.Snapshot) proof.World{
		"nothing": func(w proof.World, _ *directory.Snapshot) proof.World { return w },
		"aliases that reach one": classes(func(s *directory.Snapshot, _, _ mail.Address, c directory.Class) bool {
			return c.Rule == directory.RuleAlias && reaches(c, "v")
		}),
		"aliases that lead to somebody who is gone": classes(func(_ *directory.Snapshot, _, _ mail.Address, c directory.Class) bool {
			return len(c.Missing) > 1 || len(c.Missing) == 1 && len(c.Mailboxes) == 0
		}),
		"what is named and only a catch-all has": classes(func(_ *directory.Snapshot, _, a mail.Address, c directory.Class) bool {
			return c.Rule == directory.RuleCatchAll && (a.Local() == "v" || a.Local() == "u")
		}),
		"details of aliases": classes(func(_ *directory.Snapshot, _, a mail.Address, c directory.Class) bool {
			return c.Rule == directory.RuleDetail && len(c.Mailboxes) > 2
		}),
		"roles that reach one": classes(func(_ *directory.Snapshot, _, _ mail.Address, c directory.Class) bool {
			return c.Destination == gate.DestinationPostmaster && reaches(c, "v")
		}),
		"members": classes(func(_ *directory.Snapshot, account, _ mail.Address, c directory.Class) bool {
			return c.Destination == gate.DestinationMembersOnly && account.Local() == "b"
		}),
		"what resembles a domain with a postmaster": classes(func(s *directory.Snapshot, _, a mail.Address, c directory.Class) bool {
			_, parent, _ := strings.Cut(a.Domain().ASCII(), ".")
			d, err := mail.ParseDomain(parent)
			own, ours := s.Domain(d)
			return err == nil && ours && c.Destination == gate.DestinationForeign && own.Postmaster.Local() == "u"
		}),
		"who may send as somebody": owned(func(s *directory.Snapshot, account mail.Address) bool {
			return slices.ContainsFunc(s.SendsAs(account), func(a mail.Address) bool { return len(s.Classify(a).Mailboxes) > 2 })
		}),
		"who may send as somebody and does not exist": owned(func(s *directory.Snapshot, account mail.Address) bool {
			return account.Local() == "c" && s.Classify(account).Rule != directory.RuleAccount
		}),
		"who has a forward": owned(func(s *directory.Snapshot, account mail.Address) bool {
			_, ok := s.Forwards(account)
			return ok
		}),
		"notices of who has a contact": func(w proof.World, s *directory.Snapshot) proof.World {
			w.Notice = func(account, a mail.Address) directory.Class {
				c := s.ClassifyNotice(account, a)
				if _, has := s.Contact(account); has && account.Local() == "u" && c.Destination == gate.DestinationForeign {
					c.Destination = gate.DestinationContact
				}
				return c
			}
			return w
		},
	}
}

// seen is what a snapshot says of an address.
type seen struct {
	a        mail.Address
	class    directory.Class
	as       []mail.Address
	forward  directory.Forward
	contact  directory.Contact
	free     string
	who, own []int
}

// seen is what a snapshot says of everything that a change could have touched.
func (c changes) seen(s *directory.Snapshot) (all []seen) {
	var names []mail.Address
	for _, d := range []string{"d0.test", "sub.d0.test", "d1.test", "d2.test", "mx.local.test", "away.test"} {
		for _, local := range []string{"a", "b", "u", "v", "c", "postmaster", "abuse", "a+x", "u+victim", "nobody"} {
			names = append(names, addr(c.t, local+"@"+d))
		}
	}
	for i, a := range names {
		of := seen{a: a, class: s.Classify(a), as: s.SendsAs(a), free: fmt.Sprint(s.CheckAccount(a))}
		of.forward, _ = s.Forwards(a)
		of.contact, _ = s.Contact(a)
		for _, b := range names[:18] {
			if i < 18 {
				of.who, of.own = append(of.who, int(s.ClassifyFor(a, b).Destination)), append(of.own, int(s.Ownership(a, mail.PathOf(b))))
			}
		}
		all = append(all, of)
	}
	return all
}

// A domain names its postmaster: what that name comes to is touched as if an alias led there, also
// where it has a detail, or only a catch-all has it.
func TestAChangeTouchesWhoNamesItAsPostmaster(t *testing.T) {
	one := mail.Address{}
	for name, c := range map[string]struct {
		postmaster, host, all string
		change                func(m *made, ch *directory.Change)
	}{
		"only a catch-all has it": {"v@d0.test", "", "", func(m *made, ch *directory.Change) {
			set(m.aliases, "@d0.test", directory.Alias{CatchAll: domain(t, "d0.test"), Targets: []mail.Address{addr(t, "u@d0.test")}, Posting: directory.PostingAnyone}, true, &ch.Removed.Aliases, &ch.Put.Aliases)
		}},
		"with a detail": {"b+x@d0.test", "", "", func(m *made, ch *directory.Change) {
			set(m.accounts, "b@d0.test", one, false, &ch.Removed.Accounts, &ch.Put.Accounts)
		}},
		"everybody's": {"", "", "b+x@d0.test", func(m *made, ch *directory.Change) {
			set(m.accounts, "b@d0.test", one, false, &ch.Removed.Accounts, &ch.Put.Accounts)
		}},
	} {
		m := changes{t: t}.start()
		d := m.domains["d1.test"]
		if d.Postmaster = one; c.postmaster != "" {
			d.Postmaster = addr(t, c.postmaster)
		}
		m.domains["d1.test"] = d
		delete(m.aliases, "c@d1.test")
		delete(m.aliases, "a@d0.test")
		delete(m.aliases, "a@d1.test")
		delete(m.delegates, "b@d0.test a@d1.test")
		cfg, people := m.config(t)
		if c.all != "" {
			cfg.Postmaster = addr(t, c.all)
		}
		s, err := directory.NewSnapshot(cfg, people)
		if err != nil {
			t.Fatal(err)
		}
		var change directory.Change
		c.change(&m, &change)
		_, touched, ok := s.With(change)
		if !ok || !slices.ContainsFunc(touched.Domains, func(d directory.Domain) bool { return d.Name.ASCII() == "d1.test" }) {
			t.Errorf("%s: d1.test is not touched (%v): %+v", name, ok, touched)
		}
	}
}

// However a directory is changed, entry by entry: what is made of the former one says the same as
// one that is made anew, it is made where and only where that one stands, and the proof of what the
// change touches comes to the same verdict as the proof of all, each with a witness or neither.
func TestAChangeIsProvenAsTheWhole(t *testing.T) {
	all := planted(t)
	names := slices.Sorted(maps.Keys(all))
	var judged, opened, quick, slow int
	rapid.Check(t, func(rt *rapid.T) {
		c := changes{t, rt}
		plant := all[rapid.SampledFrom(names).Draw(rt, "planted")]
		now := c.start()
		cfg, people := now.config(t)
		s, err := directory.NewSnapshot(cfg, people)
		if err != nil {
			t.Fatal(err)
		}
		some := proof.Some(nil, people)
		if w := proof.Prove(plant(proof.Of(cfg, s, people), s)).Witness; w != nil {
			rt.Fatal("it is open at the start: ", w)
		}
		for range 3 {
			next, change := c.several(now)
			cfg, people := next.config(t)
			anew, err := directory.NewSnapshot(cfg, people)
			if err == nil {
				err = anew.Check()
			}
			with, touched, ok := s.With(change)
			if ok && err != nil {
				rt.Fatalf("anew: %v; with the change: %v\n%+v", err, ok, change)
			}
			if !ok {
				if err == nil {
					slow++
				}
				continue
			}
			of := c.seen(with)
			for i, want := range c.seen(anew) {
				if got := of[i]; !reflect.DeepEqual(got, want) {
					rt.Fatalf("with the change %+v\nanew            %+v\n%+v", got, want, change)
				}
			}
			whole := proof.Prove(plant(proof.Of(cfg, anew, people), anew))
			judged++
			if then := proof.Some(nil, people); slices.Equal(then, some) {
				cfg.Aliases, cfg.Forwards, cfg.Delegates, cfg.Contacts = nil, nil, nil, nil
				part := proof.Prove(plant(proof.After(cfg, with, touched, some), with))
				if quick++; part.Closed() != whole.Closed() || (part.Witness == nil) != (whole.Witness == nil) {
					rt.Fatalf("the whole: %v\nthe change: %v\n%+v\ntouches %+v", whole.Witness, part.Witness, change, touched)
				}
			}
			if !whole.Closed() {
				opened++
				continue
			}
			now, s, some = next, with, proof.Some(nil, people)
		}
	})
	t.Logf("%d changes, %d of them proven by what they touch, %d open; %d beside them left to the whole", judged, quick, opened, slow)
	if quick < judged/2 || slow > judged/4 {
		t.Error("too little was tried")
	}
}
