package datafolder

import (
	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/config"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/nexthop/maildir"
	"sallyport/internal/node/settings/bounds"
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
		Holder: f.Accounts.Holder, Arrived: f.arrived, Moving: f.Mail.Leave, Junk: f.Mail.Junk,
	})
	return err
}

// arrived tells those who want to know of mail that came: it is in the mailbox first, and waits no more then, so that
// it is never in neither.
func (f *Folder) arrived(a maildir.Arrival) {
	f.Quota.Delivered(a.Mailbox, a.Octets)
	f.Spool.Arrived(a.ID, a.Mailbox)
	f.Mail.Arrived(a.Folder)
}

// waiting returns what waits in the queue for a mailbox, and for all of its domain. What came under a name that the
// account had, and that nobody has now, comes into its mailbox.
func (f *Folder) waiting(a mail.Address) (its, domain mailbox.Usage) {
	box, all := f.Spool.Waiting(a)
	counted := map[string]bool{}
	for _, former := range f.Accounts.Names(a) {
		n := former.Address
		if _, taken := f.Accounts.Lookup(n); taken || counted[n.Key()] {
			continue // it is somebody's, who has that name now
		}
		counted[n.Key()] = true
		more, _ := f.Spool.Waiting(n)
		box.Octets, box.Messages = box.Octets+more.Octets, box.Messages+more.Messages
		if n.Domain() != a.Domain() {
			all.Octets, all.Messages = all.Octets+more.Octets, all.Messages+more.Messages
		}
	}
	return mailbox.Usage{Octets: box.Octets, Messages: box.Messages}, mailbox.Usage{Octets: all.Octets, Messages: all.Messages}
}

// Moving plans what the rooms of the folder that no command asks keep of an account under its
// address.
func (f *Folder) Moving(from, to mail.Address) []store.Planner {
	// What was found is about names that were not the account's, as it was called then.
	return append(f.Amounts.Moving(from, to), f.Findings.Dropping(from))
}
