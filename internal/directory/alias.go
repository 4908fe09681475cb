package directory

import (
	"fmt"
	"slices"

	"sallyport/internal/mail"
)

// Alias leads from an address of ours, or from every address of a domain of ours
// that nothing else has (a catch-all), to one or more addresses of ours. One that names
// itself among them stands beside the account of its address, and gives others a copy of
// that account's mail: "bob: bob, alice".
type Alias struct {
	Address  mail.Address // zero for a catch-all
	CatchAll mail.Domain  // zero for any other alias
	Targets  []mail.Address
	Posting  Posting // who may write to it; a catch-all is open to anyone
}

// Name returns the alias as operators write it: the address, or "@" and the domain.
func (a Alias) Name() string {
	if !a.CatchAll.IsZero() {
		return "@" + a.CatchAll.String()
	}
	return a.Address.String()
}

// key is what the alias is found under, and what an expansion that is in it has open.
func (a Alias) key() string {
	if !a.CatchAll.IsZero() {
		return catchAllKey(a.CatchAll)
	}
	return a.Address.Key()
}

// Keeps reports whether the alias names itself beside others: the mailbox of its address
// gets its mail as well, and expansion stops there. One that names nothing but itself
// leads nowhere.
func (a Alias) Keeps() bool {
	own := func(t mail.Address) bool { return t.Key() == a.Address.Key() }
	return a.CatchAll.IsZero() && slices.ContainsFunc(a.Targets, own) && slices.ContainsFunc(a.Targets, func(t mail.Address) bool { return !own(t) })
}

// Subject names the alias in a Fault.
func (a Alias) Subject() Subject {
	return Subject{KindAlias, a.Name()}
}

// Posting says who may write to an alias. The zero value is not known, and is
// refused.
type Posting uint8

const (
	PostingUnknown  Posting = iota
	PostingAnyone           // the world
	PostingAccounts         // only signed-in accounts of ours
	PostingMembers          // only the accounts that it leads to
)

// String returns the word of the configuration and the command line.
func (p Posting) String() string {
	switch p {
	case PostingAnyone:
		return "anyone"
	case PostingAccounts:
		return "accounts"
	case PostingMembers:
		return "members"
	}
	return "unknown"
}

// ParsePosting reads what String writes of every known value.
func ParsePosting(s string) (Posting, error) {
	for _, p := range []Posting{PostingAnyone, PostingAccounts, PostingMembers} {
		if p.String() == s {
			return p, nil
		}
	}
	return PostingUnknown, fmt.Errorf("%s is nobody who may write to an alias; it is anyone, accounts or members", mail.Printable(s, mail.WordShown))
}

func (b *base) addAliases(aliases []Alias, f *faults) {
	for _, a := range aliases {
		b.checkAlias(a, f)
		a.Targets = slices.Clone(a.Targets)
		if a.CatchAll.IsZero() {
			b.aliases.fresh(a.Address.Key(), a, len(aliases))
		} else {
			b.catchAlls[a.CatchAll] = a
		}
		for _, t := range a.Targets {
			b.leadsTo(t, a.key())
		}
	}
}

// checkAlias checks one alias against those that are in b already.
func (b *base) checkAlias(a Alias, f *faults) {
	s := a.Subject()
	domain := a.Address.Domain()
	other, twice := b.aliases.get(a.Address.Key())
	if !a.CatchAll.IsZero() {
		domain = a.CatchAll
		other, twice = b.catchAlls[domain]
	}
	if !a.CatchAll.IsZero() && !a.Address.IsZero() {
		f.about(s, "the alias %s is a catch-all and an address at once", s.Name)
	}
	own, ours := b.domains[domain]
	if !ours {
		f.about(s, "the alias %s is of no domain of ours", s.Name)
	}
	if !a.CatchAll.IsZero() && own.Recipients == RecipientsCallout {
		f.about(s, "the catch-all %s would hide the recipients that the server behind us knows; make it there", s.Name)
	}
	if twice {
		f.found = append(f.found, Fault{About: distinct(s, other.Subject()), Text: "the alias " + s.Name + " is given twice"})
	}
	if len(a.Targets) == 0 {
		f.about(s, "the alias %s leads nowhere", s.Name)
	}
	for _, t := range a.Targets {
		if t.IsZero() {
			f.about(s, "the alias %s has a target without an address", s.Name)
		}
		b.checkOurs(t, s, "the target of "+s.Name, f)
	}
	switch {
	case a.Keeps() && a.Posting != PostingAnyone && a.Posting != PostingUnknown:
		f.about(s, "the alias %s is open to anyone, since it keeps a copy in the mailbox of its address; give the group an address of its own", s.Name)
	case a.Posting == PostingUnknown || a.Posting > PostingMembers:
		f.about(s, "nothing says who may write to the alias %s", s.Name)
	case a.Posting == PostingAnyone:
	case !a.CatchAll.IsZero():
		f.about(s, "the catch-all %s is open to anyone; give a group an address of its own", s.Name)
	case IsRole(a.Address):
		// RFC 5321 §4.5.1, RFC 2142 §4
		f.about(s, "the alias %s is open to anyone: the world must be able to reach it", s.Name)
	}
}
