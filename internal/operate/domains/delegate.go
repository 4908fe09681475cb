package domains

import (
	"context"
	"fmt"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
)

// Delegate is the right of an account to send as another address.
type Delegate struct {
	Account string    `json:"account"`
	Address string    `json:"address"`
	Added   time.Time `json:"added,omitzero"`
	// InForce is false where the account or the address does not exist now.
	InForce bool `json:"in_force"`
}

// DelegateChange names a right that is to be given or taken.
type DelegateChange struct {
	Account string `json:"account"`
	Address string `json:"address"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

// DelegateSelect chooses rights; empty: all.
type DelegateSelect struct {
	Account string `json:"account,omitempty"`
	Address string `json:"address,omitempty"`
}

// DelegateAdd lets an account send as an address. When it returns, the next
// transaction may.
func (op *Actions) DelegateAdd(ctx context.Context, by call.Caller, r DelegateChange) (Delegate, error) {
	d, err := parseDelegate(r)
	if err != nil {
		return Delegate{}, err
	}
	d.Added = op.addedNow()
	err = op.changeEntries(ctx, book.Change{DryRun: r.DryRun, Plan: func(before *roster.State) (roster.Edit, error) {
		if err := op.checkDelegate(before, d); err != nil {
			return roster.Edit{}, err
		}
		return roster.Edit{Put: []roster.Entry{d}, Facts: fact.EncodeAll(op.delegateFact(by, d, "added"))}, nil
	}})
	if err == nil && !r.DryRun {
		op.reaches(ctx, d.Account, "it may send as "+d.Address.String())
	}
	return op.delegateView(d), err
}

func parseDelegate(r DelegateChange) (d roster.Delegate, err error) {
	if d.Account, err = call.ParseAccount(r.Account); err != nil {
		return d, err
	}
	d.Address, err = call.ParseAccount(r.Address)
	return d, err
}

// checkDelegate refuses a right of nobody, to send as nobody, as what is not ours,
// or as what is the account's own.
func (op *Actions) checkDelegate(before *roster.State, d roster.Delegate) error {
	s := op.o.Book.Snapshot()
	if _, err := op.o.Account(d.Account); err != nil {
		return err
	}
	switch {
	case before.Has(d.Ref()):
		return call.Exists(fmt.Sprintf("%s may send as %s already", d.Account, d.Address))
	case !s.IsOurs(d.Address.Domain()):
		return call.Invalid(fmt.Errorf("%s is of no domain of ours, and nobody here may send as it", d.Address))
	case s.Owner(d.Account).Owns(d.Address):
		return call.Invalid(fmt.Errorf("%s is %s's own address already", d.Address, d.Account))
	case !s.IsSomebody(d.Address):
		return call.Invalid(fmt.Errorf("%s is no account, alias or group; make it first", d.Address))
	}
	return nil
}

// DelegateRemove takes a right away. The next transaction may no longer.
func (op *Actions) DelegateRemove(ctx context.Context, by call.Caller, r DelegateChange) (Changed, error) {
	d, err := parseDelegate(r)
	if err != nil {
		return Changed{}, err
	}
	out := Changed{DryRun: r.DryRun, Done: []string{fmt.Sprintf("%s may no longer send as %s", d.Account, d.Address)}}
	err = op.changeEntries(ctx, book.Change{DryRun: r.DryRun, Plan: func(before *roster.State) (roster.Edit, error) {
		if !before.Has(d.Ref()) {
			return roster.Edit{}, call.NotFound(fmt.Sprintf("no delegate lets %s send as %s; list them with: sallyport delegate ls", d.Account, d.Address))
		}
		return roster.Edit{Remove: []roster.Ref{d.Ref()}, Facts: fact.EncodeAll(op.delegateFact(by, d, "removed"))}, nil
	}})
	return out, err
}

// DelegateList calls fn for each chosen right, in the order of accounts.
func (op *Actions) DelegateList(_ context.Context, _ call.Caller, r DelegateSelect, fn func(Delegate) error) error {
	var account, address mail.Address
	var err error
	if r.Account != "" {
		if account, err = call.ParseAccount(r.Account); err != nil {
			return err
		}
	}
	if r.Address != "" {
		if address, err = call.ParseAccount(r.Address); err != nil {
			return err
		}
	}
	for _, d := range op.o.Book.Entries().Delegates() {
		if !account.IsZero() && account.Key() != d.Account.Key() || !address.IsZero() && address.Key() != d.Address.Key() {
			continue
		}
		if err := fn(op.delegateView(d)); err != nil {
			return err
		}
	}
	return nil
}

func (op *Actions) delegateView(d roster.Delegate) Delegate {
	return Delegate{Account: d.Account.String(), Address: d.Address.String(), Added: d.Added, InForce: op.o.Book.Snapshot().Owner(d.Account).Owns(d.Address)}
}

func (op *Actions) delegateFact(by call.Caller, d roster.Delegate, done string) fact.Fact {
	f := op.directoryFact(by, directory.KindDelegate, d.Account.String(), done)
	f.SendsAs = d.Address.String()
	return f.Fact()
}

// RightsDropped is the change that takes away what belongs to an account that goes or comes, for the
// act by which it does, so that an account of the same name never inherits it: its
// forward, its rights to send as others, and the rights of others to send as it. There is none where
// nothing belongs to it. The caller holds the book's Changing.
func (op *Actions) RightsDropped(by call.Caller, account mail.Address) (c book.Change, any bool) {
	return book.Change{Plan: func(before *roster.State) (roster.Edit, error) {
		var edit roster.Edit
		var facts []fact.Fact
		for _, e := range book.Rights(before, account) {
			edit.Remove = append(edit.Remove, e.Ref())
			facts = append(facts, op.removalFact(by, e))
		}
		edit.Facts = fact.EncodeAll(facts...)
		return edit, nil
	}}, len(book.Rights(op.o.Book.Entries(), account)) > 0
}

// RightsRenamed is the change by which all that names an account names it by another address, for
// the act that renames it. Mail for the old address still comes where an alias is kept.
func (op *Actions) RightsRenamed(by call.Caller, r book.Renaming, keepAlias bool) book.Change {
	return book.Change{
		Accounts: r.Accounts,
		Plan: func(before *roster.State) (roster.Edit, error) {
			edit := r.Edit(before)
			if keepAlias {
				kept := book.Alias(r.From, r.To)
				kept.Added = op.addedNow()
				edit.Put = append(edit.Put, kept)
				edit.Facts = fact.EncodeAll(op.aliasFact(by, kept, kept.Targets, "added"))
			}
			return edit, nil
		},
	}
}

// SendsAs are the addresses that an account may send as by delegates.
func (op *Actions) SendsAs(account mail.Address) (all []string) {
	for _, d := range op.o.Book.Entries().Delegates() {
		if d.Account.Key() == account.Key() {
			all = append(all, d.Address.String())
		}
	}
	return all
}
