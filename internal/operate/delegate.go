package operate

import (
	"context"
	"fmt"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
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
func (op *Operator) DelegateAdd(ctx context.Context, by Caller, r DelegateChange) (Delegate, error) {
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
	if d.Account, err = parseOurs(r.Account); err != nil {
		return d, err
	}
	d.Address, err = parseOurs(r.Address)
	return d, err
}

// checkDelegate refuses a right of nobody, to send as nobody, as what is not ours,
// or as what is the account's own.
func (op *Operator) checkDelegate(before *roster.State, d roster.Delegate) error {
	s := op.o.Book.Snapshot()
	if _, err := op.o.Accounts.Get(d.Account); err != nil {
		return err
	}
	switch {
	case before.Has(d.Ref()):
		return &Error{CodeExists, fmt.Sprintf("%s may send as %s already", d.Account, d.Address)}
	case !s.IsOurs(d.Address.Domain()):
		return invalid(fmt.Errorf("%s is of no domain of ours, and nobody here may send as it", d.Address))
	case s.Owner(d.Account).Owns(d.Address):
		return invalid(fmt.Errorf("%s is %s's own address already", d.Address, d.Account))
	case !s.IsSomebody(d.Address):
		return invalid(fmt.Errorf("%s is no account, alias or group; make it first", d.Address))
	}
	return nil
}

// DelegateRemove takes a right away. The next transaction may no longer.
func (op *Operator) DelegateRemove(ctx context.Context, by Caller, r DelegateChange) (Changed, error) {
	d, err := parseDelegate(r)
	if err != nil {
		return Changed{}, err
	}
	out := Changed{DryRun: r.DryRun, Done: []string{fmt.Sprintf("%s may no longer send as %s", d.Account, d.Address)}}
	err = op.changeEntries(ctx, book.Change{DryRun: r.DryRun, Plan: func(before *roster.State) (roster.Edit, error) {
		if !before.Has(d.Ref()) {
			return roster.Edit{}, &Error{CodeNotFound, fmt.Sprintf("no delegate lets %s send as %s; list them with: sallyport delegate ls", d.Account, d.Address)}
		}
		return roster.Edit{Remove: []roster.Ref{d.Ref()}, Facts: fact.EncodeAll(op.delegateFact(by, d, "removed"))}, nil
	}})
	return out, err
}

// DelegateList calls fn for each chosen right, in the order of accounts.
func (op *Operator) DelegateList(_ context.Context, _ Caller, r DelegateSelect, fn func(Delegate) error) error {
	var account, address mail.Address
	var err error
	if r.Account != "" {
		if account, err = parseOurs(r.Account); err != nil {
			return err
		}
	}
	if r.Address != "" {
		if address, err = parseOurs(r.Address); err != nil {
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

func (op *Operator) delegateView(d roster.Delegate) Delegate {
	return Delegate{Account: d.Account.String(), Address: d.Address.String(), Added: d.Added, InForce: op.o.Book.Snapshot().Owner(d.Account).Owns(d.Address)}
}

func (op *Operator) delegateFact(by Caller, d roster.Delegate, done string) fact.Fact {
	f := op.directoryFact(by, directory.KindDelegate, d.Account.String(), done)
	f.SendsAs = d.Address.String()
	return f.Fact()
}

// rightsDropped plans to take away what belongs to an account that goes or comes, in the
// act by which it does, so that an account of the same name never inherits it: its
// forward, its rights to send as others, and the rights of others to send as it. The
// caller holds the book's Changing.
func (op *Operator) rightsDropped(by Caller, account mail.Address) []store.Planner {
	if len(book.Rights(op.o.Book.Entries(), account)) == 0 {
		return nil
	}
	return []store.Planner{op.o.Book.Planned(book.Change{Plan: func(before *roster.State) (roster.Edit, error) {
		var edit roster.Edit
		var facts []fact.Fact
		for _, e := range book.Rights(before, account) {
			edit.Remove = append(edit.Remove, e.Ref())
			facts = append(facts, op.removalFact(by, e))
		}
		edit.Facts = fact.EncodeAll(facts...)
		return edit, nil
	}})}
}
