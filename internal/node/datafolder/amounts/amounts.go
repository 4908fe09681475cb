// Package amounts opens the stored counts of a data folder: of the recipients that accounts wrote
// to, of what networks send and mailboxes receive and hold, and of strangers who were greylisted.
package amounts

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/accounts"
	"sallyport/internal/budget/clock"
	"sallyport/internal/budget/inflow"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/budget/quota"
	"sallyport/internal/config"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/node/settings"
	"sallyport/internal/node/settings/bounds"
	"sallyport/internal/screen/greylist"
	"sallyport/internal/store"
)

// Clock is the clock of what grows old.
type Clock = clock.Clock

// OpenClock reads what time it was; the rest of a data folder grows old by it.
func OpenClock(ctx context.Context, s store.Store, w settings.World) (*Clock, error) {
	return clock.Open(ctx, s, clock.Options{Read: w.Clocks, Logger: w.Logger})
}

// Options are what Amounts are opened with; all are required.
type Options struct {
	settings.World
	Clock *Clock // from OpenClock
	// Usage counts what a mailbox holds, Waiting says what waits in the queue for it and for all of
	// its domain, and Accounts lists whose there are.
	Usage    func(context.Context, mail.Address) (mailbox.Usage, error)
	Waiting  func(mail.Address) (its, domain mailbox.Usage)
	Accounts func(context.Context) ([]accounts.Account, error)
}

// Amounts are those of one data folder. What they export never changes.
type Amounts struct {
	Ledger   *ledger.Ledger // of recipients
	Inflow   *inflow.Budget // of what networks bring and mailboxes take
	Quota    *quota.Keeper  // of what mailboxes hold
	Greylist *greylist.Greylist
}

// Open opens what a store remembers. How much mailboxes may hold is told it later.
func Open(ctx context.Context, s store.Store, cfg config.Config, o Options) (a *Amounts, err error) {
	a = &Amounts{}
	if a.Ledger, err = ledger.Open(ctx, s, ledger.Options{Now: o.Now, Passed: o.Clock.Now, Logger: o.Logger}); err != nil {
		return nil, err
	}
	a.Quota, err = quota.Open(ctx, s, quota.Options{
		Count: func(ctx context.Context, of mail.Address) (quota.Usage, error) {
			u, err := o.Usage(ctx, of)
			return usage(u), err
		},
		Waiting: func(of mail.Address) (its, domain quota.Usage) {
			box, all := o.Waiting(of)
			return usage(box), usage(all)
		},
		Accounts: func(ctx context.Context) (all []mail.Address, err error) {
			list, err := o.Accounts(ctx)
			for _, of := range list {
				all = append(all, of.Address)
			}
			return all, err
		},
		Limits: quota.DefaultLimits(), Now: o.Now, Age: o.Clock.Age, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	if a.Inflow, err = inflow.Open(ctx, s, inflow.Options{Limits: bounds.Inflow(cfg), Room: a.Quota, Now: o.Now, Passed: o.Clock.Now, Logger: o.Logger}); err == nil {
		a.Greylist, err = greylist.Open(ctx, s, greylist.Options{Limits: bounds.Greylist(cfg), Now: o.Clock.Now, Logger: o.Logger})
	}
	if err != nil {
		a.Quota.Close()
		return nil, err
	}
	return a, nil
}

func usage(u mailbox.Usage) quota.Usage {
	return quota.Usage{Octets: u.Octets, Messages: int64(u.Messages)}
}

// Moving plans what is kept of an account under its address, for when it is renamed.
func (a *Amounts) Moving(from, to mail.Address) []store.Planner {
	return []store.Planner{a.Ledger.Moving(from, to), a.Inflow.Moving(from, to), a.Quota.Moving(from, to)}
}

// Within has mailboxes ask the quota.
func (a *Amounts) Within() mailbox.Quota { return within{a.Quota} }

// within asks the quota.
type within struct{ *quota.Keeper }

// Take implements mailbox.Quota.
func (w within) Take(ctx context.Context, account mail.Address, octets int64, messages int) (func(kept bool), error) {
	h, v := w.Add(ctx, account, quota.Usage{Octets: octets, Messages: int64(messages)})
	switch {
	case v.OK:
		return h.End, nil
	case v.Rule == inflow.RuleUncounted || v.Rule == "":
		return nil, fmt.Errorf("%w: %w", mailbox.ErrUnavailable, errors.New(v.Found))
	}
	text := v.Found
	if v.Rule == inflow.RuleDomainQuota { // what others hold is not for the owner to know
		text = v.Reply().Text
	}
	return nil, &mailbox.QuotaError{Text: text}
}
