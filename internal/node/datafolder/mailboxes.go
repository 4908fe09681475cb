package datafolder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/budget/quota"
	"sallyport/internal/config"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/nexthop/maildir"
	"sallyport/internal/node/settings/bounds"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
)

// openQuota opens what is known of how much mailboxes hold. How much they may hold is told it
// later.
func (f *Folder) openQuota(ctx context.Context, o Options) (err error) {
	f.Quota, err = quota.Open(ctx, f.Store, quota.Options{
		Count: func(ctx context.Context, a mail.Address) (quota.Usage, error) {
			u, err := f.Mail.Usage(ctx, a)
			return quota.Usage{Octets: u.Octets, Messages: int64(u.Messages)}, err
		},
		Accounts: func(ctx context.Context) (all []mail.Address, err error) {
			list, err := f.Accounts.List(ctx)
			for _, a := range list {
				all = append(all, a.Address)
			}
			return all, err
		},
		Limits: quota.DefaultLimits(), Now: o.Now, Logger: o.Logger,
	})
	return err
}

// openMailboxes opens the mailboxes, for those who deliver and those who read.
func (f *Folder) openMailboxes(cfg config.Config, o Options) (err error) {
	f.Mail, err = mailbox.New(mailbox.Options{
		FS: pebble.Disk(o.FS), Folder: func(a mail.Address) (string, bool) { return maildir.Folder(cfg.Maildir.Root, a) }, Hostname: cfg.Hostname,
		Limits: bounds.Mailbox(cfg), Space: f.Disks[len(f.Disks)-1], Quota: within{f.Quota}, Timely: o.FS == vfs.Default, Now: o.Now, Rand: o.Rand, Logger: o.Logger,
	})
	if err != nil {
		return err
	}
	f.Mailboxes, err = maildir.New(maildir.Options{
		FS: pebble.Disk(o.FS), Root: cfg.Maildir.Root, Hostname: cfg.Hostname, Limits: maildir.DefaultLimits(), Rand: o.Rand, Logger: o.Logger, Space: f.Disks[len(f.Disks)-1],
		Holder: f.Accounts.Holder, Arrived: f.arrived, Moving: f.Mail.Leave,
	})
	return err
}

// arrived tells those who want to know of mail that came.
func (f *Folder) arrived(a maildir.Arrival) {
	f.Quota.Delivered(a.ID, a.Mailbox, a.Octets)
	f.Mail.Arrived(a.Folder)
}

// within has mailboxes ask the quota.
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
	if v.Rule == inflow.RuleDomainQuota { // what others hold is not for him to know
		text = v.Reply().Text
	}
	return nil, &mailbox.QuotaError{Text: text}
}

// ExpectQueued counts what waits in the queue for mailboxes of ours, before anything more is let
// in.
func (f *Folder) ExpectQueued(ctx context.Context, log *slog.Logger) {
	if !f.Quota.Watches() {
		return
	}
	err := f.Spool.List(ctx, spool.Filter{}, func(e spool.Entry) (bool, error) {
		for _, r := range e.Pending() {
			if r.Kind == spool.KindLocal {
				f.Quota.Expect(e.ID, r.Mailbox, e.Size)
			}
		}
		return ctx.Err() == nil, nil
	})
	if err != nil {
		log.Warn("what waits in the queue is not held against the quota of mailboxes", "err", err)
	}
}

// Moving plans what the rooms of the folder that no command asks keep of an account under its
// address.
func (f *Folder) Moving(from, to mail.Address) []store.Planner {
	return []store.Planner{
		f.Ledger.Moving(from, to), f.Inflow.Moving(from, to), f.Quota.Moving(from, to),
		f.Findings.Dropping(from), // they are about names that were not the account's, as it was called then
	}
}
