package book

import (
	"slices"

	"sallyport/internal/directory"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
)

// Within returns the aliases, forwards, delegates and contacts that have an address in a domain
// themselves: they end with it.
func Within(s *roster.State, d mail.Domain) (own []roster.Entry) {
	for _, a := range s.AliasesOf(func(a roster.Alias) bool { return a.CatchAll == d || a.Address.Domain() == d }) {
		own = append(own, a)
	}
	for _, f := range s.Forwards() {
		if f.Account.Domain() == d {
			own = append(own, f)
		}
	}
	for _, e := range s.Delegates() {
		if e.Account.Domain() == d || e.Address.Domain() == d {
			own = append(own, e)
		}
	}
	for _, c := range s.Contacts() {
		if c.Account.Domain() == d {
			own = append(own, c)
		}
	}
	return own
}

// Rights returns what belongs to an account and ends with it, so that an account of the
// same name never inherits it: its forward, its contact, its rights to send as others, and
// the rights of others to send as it.
func Rights(s *roster.State, account mail.Address) (all []roster.Entry) {
	if f, ok := s.Get(roster.ForwardRef(account)); ok {
		all = append(all, f)
	}
	for _, d := range s.Rights(account) {
		all = append(all, d)
	}
	if c, ok := s.Get(roster.ContactRef(account)); ok {
		all = append(all, c)
	}
	return all
}

// NamedBy returns the aliases that lead to an account, those of the configuration first.
func (b *Book) NamedBy(account mail.Address) (names []string) {
	key := account.Key()
	leads := func(a directory.Alias) bool {
		return slices.ContainsFunc(a.Targets, func(t mail.Address) bool { return t.Domain() == account.Domain() && t.Key() == key })
	}
	for _, a := range b.Stated().Config.Aliases {
		if leads(a) {
			names = append(names, a.Name())
		}
	}
	for _, a := range b.Entries().AliasesOf(func(a roster.Alias) bool { return leads(a.Alias) }) {
		names = append(names, a.Name())
	}
	return names
}
