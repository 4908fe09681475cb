package accounts

import (
	"context"
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// Source says where an account comes from. The zero Source is this server: the account was
// made here, and its password is kept here. An account comes from one place alone.
type Source struct {
	// Directory is the directory that lists it, and that knows its password; "": it is ours.
	Directory string `json:"directory,omitempty"`
	DN        string `json:"dn,omitempty"`    // its name there
	Entry     string `json:"entry,omitempty"` // what names its entry for good; "": not known
	// Absent: the last whole list of the directory did not have it. What is ours of it is kept.
	Absent bool `json:"absent,omitempty"`
	// Silent: the directory says that it may not send.
	Silent bool `json:"silent,omitempty"`
	// AlsoIn is a directory that lists it too, though it comes from elsewhere: whose password
	// counts is not known, so that neither does.
	AlsoIn string `json:"also_in,omitempty"`
}

// seen returns the account as it stands for everybody who asks: its stored standing, unless
// where it comes from says less. What is changed is changed in what is stored, so that a
// freeze is neither lost nor made by a directory.
func (a Account) seen() Account {
	switch {
	case a.Source.AlsoIn != "":
		a.Standing = StandingDisputed
		a.FrozenReason = "the directory " + a.Source.AlsoIn + " lists it too; it is to be in one place alone"
	case a.Source.Absent && a.Standing == StandingActive:
		a.Standing = StandingUnlisted
		a.FrozenReason = "the directory " + a.Source.Directory + " does not list it"
	}
	return a
}

// Receives reports whether there is a mailbox of the account: a frozen one receives, one that
// its directory does not list any more does not.
func (a Account) Receives() bool { return !a.Source.Absent }

// Sends reports whether the account may send at all, as far as its directory says.
func (a Account) Sends() bool { return !a.Source.Silent }

// seen is the record as memory has it.
func (r *record) seen() *record {
	if next := r.Account.seen(); next != r.Account {
		changed := *r
		changed.Account = next
		return &changed
	}
	return r
}

// Alias is a further address of an account, as its directory says.
type Alias struct {
	Address mail.Address
	Account mail.Address
}

// Aliases returns the further addresses that directories say accounts have, those of absent
// accounts left out, in the order of the accounts' keys.
func (i *Identity) Aliases(ctx context.Context) ([]Alias, error) {
	var all []*record
	i.accounts.Range(func(_, v any) bool {
		if r, ok := v.(*record); ok && len(r.aliases) > 0 && r.Receives() {
			all = append(all, r)
		}
		return ctx.Err() == nil
	})
	slices.SortFunc(all, func(a, b *record) int { return strings.Compare(a.Address.Key(), b.Address.Key()) })
	var out []Alias
	for _, r := range all {
		for _, alias := range r.aliases {
			out = append(out, Alias{alias, r.Address})
		}
	}
	return out, ctx.Err()
}

func sameAddresses(a, b []mail.Address) bool {
	return slices.EqualFunc(a, b, func(x, y mail.Address) bool { return x == y })
}
