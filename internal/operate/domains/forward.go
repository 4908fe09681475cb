package domains

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
)

// Forward is where an account's mail goes on to, as operators see it.
type Forward struct {
	Account string    `json:"account"`
	Targets []string  `json:"targets"`
	Keep    bool      `json:"keep"`   // the mailbox gets a copy as well
	Asleep  bool      `json:"asleep"` // forwards may not leave now: mail stays in the mailbox
	Added   time.Time `json:"added"`
}

// ForwardAdd asks for a forward of an account, or with More for more targets of it.
type ForwardAdd struct {
	Account string   `json:"account"`
	Targets []string `json:"targets"`
	Keep    bool     `json:"keep,omitempty"`
	More    bool     `json:"more,omitempty"`
	DryRun  bool     `json:"dry_run,omitempty"`
}

// ForwardRemove asks for the end of a forward, or of some of its targets.
type ForwardRemove struct {
	Account string   `json:"account"`
	Targets []string `json:"targets,omitempty"` // none: the whole forward
	DryRun  bool     `json:"dry_run,omitempty"`
}

// ForwardAdd makes a forward.
func (op *Actions) ForwardAdd(ctx context.Context, by call.Caller, r ForwardAdd) (Forward, error) {
	account, targets, err := op.parseForward(r.Account, r.Targets)
	if err != nil {
		return Forward{}, err
	}
	if !op.o.Book.External() {
		return Forward{}, call.Refused(`mail is not forwarded to other servers here; where it shall be, write [forward] and external = "on" in the configuration`)
	}
	var next roster.Forward
	err = op.changeEntries(ctx, book.Change{DryRun: r.DryRun, Plan: func(before *roster.State) (roster.Edit, error) {
		// Asked under the lock of changes, so that nobody removes the account meanwhile.
		if _, err := op.o.Account(account); err != nil {
			return roster.Edit{}, fmt.Errorf("a forward belongs to an account, which answers for it: %w", err)
		}
		next, err = nextForward(before, account, targets, r)
		if err != nil {
			return roster.Edit{}, err
		}
		if next.Added.IsZero() {
			next.Added = op.addedNow()
		}
		f := op.directoryFact(by, directory.KindForward, account.String(), "added")
		f.Targets, f.Evidence = call.Texts(targets), append(f.Evidence, fact.Pair{Name: "keeps a copy", Value: fmt.Sprint(next.Keep)})
		return roster.Edit{Put: []roster.Entry{next}, Facts: fact.EncodeAll(f.Fact())}, nil
	}})
	if err == nil && !r.DryRun {
		op.reaches(ctx, account, "its forward leads to "+joinAddresses(targets)+" as well")
	}
	return op.forwardView(next), err
}

// reaches tells who watches accounts that one reaches others from now on, by whosever wish.
func (op *Actions) reaches(ctx context.Context, account mail.Address, what string) {
	if op.o.Reaches != nil {
		op.o.Reaches(ctx, account, what)
	}
}

// parseForward parses an account and addresses that are not ours.
func (op *Actions) parseForward(account string, targets []string) (a mail.Address, parsed []mail.Address, err error) {
	if len(targets) > directory.ForwardTargetsCeiling {
		return a, nil, call.Invalid(fmt.Errorf("one command takes at most %d targets", directory.ForwardTargetsCeiling))
	}
	if a, err = call.ParseAccount(account); err != nil {
		return a, nil, err
	}
	for _, text := range targets {
		t, err := mail.ParseAddress(text, mail.UTF8)
		switch {
		case err != nil:
			return a, nil, call.Invalid(err)
		case t.Domain().IsZero():
			return a, nil, call.Invalid(fmt.Errorf("%s is in no domain, and mail is forwarded to domains only", t))
		case op.o.Book.Snapshot().IsOurs(t.Domain()):
			return a, nil, call.Invalid(fmt.Errorf("%s is an address of ours; it gets a copy of the mail of %s with: sallyport alias add %s %s %s", t, a, a, a, t))
		}
		if !slices.Contains(parsed, t) {
			parsed = append(parsed, t)
		}
	}
	return a, parsed, nil
}

// nextForward is the forward as it is to be.
func nextForward(before *roster.State, account mail.Address, targets []mail.Address, r ForwardAdd) (roster.Forward, error) {
	ref := roster.ForwardRef(account)
	e, exists := before.Get(ref)
	old, readable := e.(roster.Forward)
	switch {
	case !before.Has(ref) && r.More:
		return old, missing(directory.KindForward, account.String())
	case !before.Has(ref):
		return roster.Forward{Forward: directory.Forward{Account: account, Targets: targets, Keep: r.Keep}}, nil
	case exists && !r.More:
		return old, call.Exists(fmt.Sprintf("%s forwards already, to %s; add targets with --more", account, joinAddresses(old.Targets)))
	case !readable:
		return old, call.Invalid(fmt.Errorf("the forward of %s cannot be read; remove it first", account))
	}
	next := old
	next.Keep = old.Keep || r.Keep
	next.Targets = slices.Clone(old.Targets)
	for _, t := range targets {
		if !slices.Contains(next.Targets, t) {
			next.Targets = append(next.Targets, t)
		}
	}
	return next, nil
}

// ForwardRemove ends a forward, or takes targets out of it. What is on its way
// already goes on.
func (op *Actions) ForwardRemove(ctx context.Context, by call.Caller, r ForwardRemove) (Changed, error) {
	account, targets, err := op.parseForward(r.Account, r.Targets)
	if err != nil {
		return Changed{}, err
	}
	out := Changed{DryRun: r.DryRun}
	err = op.changeEntries(ctx, book.Change{DryRun: r.DryRun, Plan: func(before *roster.State) (edit roster.Edit, err error) {
		edit, out.Done, err = op.lessForward(by, before, account, targets)
		return edit, err
	}})
	return out, err
}

func (op *Actions) lessForward(by call.Caller, before *roster.State, account mail.Address, targets []mail.Address) (roster.Edit, []string, error) {
	ref := roster.ForwardRef(account)
	if !before.Has(ref) {
		return roster.Edit{}, nil, missing(directory.KindForward, account.String())
	}
	e, _ := before.Get(ref)
	next, readable := e.(roster.Forward)
	if len(targets) > 0 && !readable {
		return roster.Edit{}, nil, call.Invalid(fmt.Errorf("the forward of %s cannot be read; remove it as a whole", account))
	}
	next.Targets = slices.Clone(next.Targets)
	for _, t := range targets {
		at := slices.Index(next.Targets, t)
		if at < 0 {
			return roster.Edit{}, nil, call.Invalid(fmt.Errorf("%s does not forward to %s", account, t))
		}
		next.Targets = slices.Delete(next.Targets, at, at+1)
	}
	f := op.directoryFact(by, directory.KindForward, account.String(), "removed")
	f.Targets = call.Texts(targets)
	if len(targets) > 0 && len(next.Targets) > 0 {
		f.Change = "forward reduced"
		return roster.Edit{Put: []roster.Entry{next}, Facts: fact.EncodeAll(f.Fact())}, []string{fmt.Sprintf("%s forwards to %s", account, joinAddresses(next.Targets))}, nil
	}
	return roster.Edit{Remove: []roster.Ref{ref}, Facts: fact.EncodeAll(f.Fact())}, []string{"forward of " + account.String() + " removed; its mail stays in its mailbox"}, nil
}

// ForwardList calls fn for each forward in the order of accounts.
func (op *Actions) ForwardList(_ context.Context, _ call.Caller, _ struct{}, fn func(Forward) error) error {
	for _, f := range op.o.Book.Entries().Forwards() {
		if err := fn(op.forwardView(f)); err != nil {
			return err
		}
	}
	return nil
}

func (op *Actions) forwardView(f roster.Forward) Forward {
	return Forward{Account: f.Account.String(), Targets: call.Texts(f.Targets), Keep: f.Keep, Asleep: !op.o.Book.External(), Added: f.Added}
}

// ForwardOf returns the forward of an account; nil: it has none.
func (op *Actions) ForwardOf(account mail.Address) *Forward {
	e, _ := op.o.Book.Entries().Get(roster.ForwardRef(account))
	f, is := e.(roster.Forward)
	if !is {
		return nil
	}
	v := op.forwardView(f)
	return &v
}

// Forwarding says whether an address is of a domain of ours, and which accounts forward to it, as a
// book says at any time.
func Forwarding(b *Book) func(to mail.Address) (ours bool, accounts []mail.Address) {
	return func(to mail.Address) (ours bool, accounts []mail.Address) {
		for _, f := range b.Entries().Forwards() {
			for _, t := range f.Targets {
				if t == to {
					accounts = append(accounts, f.Account)
				}
			}
		}
		return b.Snapshot().IsOurs(to.Domain()), accounts
	}
}
