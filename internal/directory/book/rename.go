package book

import (
	"slices"
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
)

// Renaming is an account with its other address.
type Renaming struct {
	From, To mail.Address
	Detail   byte // what parts the detail from a local-part; 0: there are no details
}

// Edit is the change by which every entry names the account by its other address: the targets
// of aliases and the alias that keeps it, its forward, its contact, its rights to send as
// others, those of others to send as it, and the postmaster of domains. What there is of
// somebody who had the other address before goes.
func (r Renaming) Edit(before *roster.State) (e roster.Edit) {
	gone := map[roster.Ref]bool{}
	remove := func(ref roster.Ref) {
		if !gone[ref] {
			gone[ref] = true
			e.Remove = append(e.Remove, ref)
		}
	}
	for _, x := range Rights(before, r.To) {
		remove(x.Ref())
	}
	replaced := r.Replaces(before)
	if replaced {
		remove(roster.AliasRef(r.To))
	}
	for _, d := range before.Domains() {
		if r.Names(d.Postmaster) {
			d.Postmaster = r.of(d.Postmaster)
			e.Put = append(e.Put, d)
		}
	}
	for _, a := range before.AliasesOf(func(a roster.Alias) bool { return slices.ContainsFunc(a.Targets, r.Names) }) {
		targets, _ := r.all(a.Targets)
		if replaced && a.Address.Key() == r.To.Key() {
			continue
		}
		if a.Address.Key() == r.From.Key() {
			remove(a.Ref())
			a.Address = r.To
		}
		a.Targets = targets
		e.Put = append(e.Put, a)
	}
	own := Rights(before, r.From)
	for _, d := range before.Delegates() {
		if d.Address.Key() != r.From.Key() && d.Account.Key() != r.From.Key() && r.Names(d.Address) {
			own = append(own, d) // of a detail of the account
		}
	}
	for _, x := range own {
		remove(x.Ref())
		if x = r.right(x); x != nil {
			e.Put = append(e.Put, x)
		}
	}
	return e
}

// Accounts are those of then, made of those of now.
func (r Renaming) Accounts(now []mail.Address) []mail.Address {
	return append(slices.DeleteFunc(slices.Clone(now), func(a mail.Address) bool { return a.Key() == r.From.Key() }), r.To)
}

// Replaces reports whether the other address is an alias until now that a command added and
// that leads to the account alone. It goes with the edit.
func (r Renaming) Replaces(before *roster.State) bool {
	e, ok := before.Get(roster.AliasRef(r.To))
	a, is := e.(roster.Alias)
	return ok && is && len(a.Targets) == 1 && a.Targets[0].Key() == r.From.Key()
}

// Names reports whether a is the account's address until now, with a detail or without.
func (r Renaming) Names(a mail.Address) bool { return r.of(a) != a }

// of is the other address for one that names the account.
func (r Renaming) of(a mail.Address) mail.Address {
	if a.Domain() != r.From.Domain() { // for less than a Key, since most are of others
		return a
	}
	if a.Key() == r.From.Key() {
		return r.To
	}
	detail, ok := strings.CutPrefix(mail.FoldLocal(a.Local()), mail.FoldLocal(r.From.Local())+string(rune(r.Detail)))
	if r.Detail == 0 || !ok || a.Domain().IsZero() || a.Domain() != r.From.Domain() {
		return a
	}
	if other, err := r.To.WithLocal(r.To.Local() + string(rune(r.Detail)) + detail); err == nil {
		return other
	}
	return a
}

func (r Renaming) all(list []mail.Address) ([]mail.Address, bool) {
	if !slices.ContainsFunc(list, r.Names) {
		return list, false
	}
	var out []mail.Address
	for _, a := range list {
		if a = r.of(a); !slices.ContainsFunc(out, func(b mail.Address) bool { return a.Key() == b.Key() }) {
			out = append(out, a)
		}
	}
	return out, true
}

// right is what belongs to the account under its other address; nil: nothing any more.
func (r Renaming) right(x roster.Entry) roster.Entry {
	switch x := x.(type) {
	case roster.Forward:
		x.Account = r.To
		return x
	case roster.Delegate:
		if x.Account, x.Address = r.of(x.Account), r.of(x.Address); x.Account.Key() == x.Address.Key() {
			return nil
		}
		return x
	case roster.Contact:
		x.Account = r.To
		return x
	}
	return x
}

// Alias is the alias by which mail for a former address still comes to an account.
func Alias(former, account mail.Address) roster.Alias {
	return roster.Alias{Alias: directory.Alias{Address: former, Targets: []mail.Address{account}, Posting: directory.PostingAnyone}}
}
