package datafolder

import (
	"context"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/config"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/nexthop/maildir"
	"sallyport/internal/node/settings/bounds"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
)

// openMailboxes opens the mailboxes, for those who deliver and those who read.
func (f *Folder) openMailboxes(cfg config.Config, o Options) (err error) {
	f.Mail, err = mailbox.New(mailbox.Options{
		FS: pebble.Disk(o.FS), Folder: func(a mail.Address) (string, bool) { return maildir.Folder(cfg.Maildir.Root, a) }, Hostname: cfg.Hostname,
		Limits: bounds.Mailbox(cfg), Space: f.Disks[len(f.Disks)-1], Quota: f.Within(), Timely: o.FS == vfs.Default, Now: o.Now, Rand: o.Rand, Logger: o.Logger,
		Damage: f.noting(o.Logger),
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
	// What was found is about names that were not the account's, as it was called then.
	return append(f.Amounts.Moving(from, to), f.Findings.Dropping(from))
}
