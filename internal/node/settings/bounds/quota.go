package bounds

import (
	"sallyport/internal/accounts"
	"sallyport/internal/budget/quota"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
)

// warnBelow is how far below the mark of a warning a mailbox counts as emptier, in hundredths, and
// fullFrom from where on one is full that has no such mark.
const (
	warnBelow = 10
	fullFrom  = 80
)

// Mailbox returns the bounds of what programs make in a mailbox.
func Mailbox(cfg config.Config) mailbox.Limits {
	l, m := mailbox.DefaultLimits(), cfg.Mailbox
	l.Message, l.Folders, l.Words, l.Subscriptions = cfg.Limits.MessageSize, m.Folders, m.Keywords, m.Subscriptions
	return l
}

// Quota returns how much mailboxes may hold: what was set for an account, else what its domain
// says, else what all may. Mailboxes that are not here have none.
func Quota(cfg config.Config, dir func() *directory.Snapshot, account func(mail.Address) (accounts.Account, bool)) quota.Policy {
	all, domains := limit(cfg.Mailbox.Quota), map[mail.Domain]config.Domain{}
	for _, d := range cfg.Domains {
		domains[d.Name] = d
	}
	p := quota.Policy{Warn: cfg.Mailbox.Warn, Clear: max(cfg.Mailbox.Warn-warnBelow, 1), Grace: cfg.Limits.MessageSize}
	if p.Warn == 0 {
		p.Clear = fullFrom
	}
	p.Of = func(a mail.Address) (box, together quota.Quota) {
		if d, ours := dir().Domain(a.Domain()); !ours || d.Deliver != directory.DeliverMaildir {
			return quota.None(), quota.None()
		}
		d := domains[a.Domain()]
		own, _ := account(a)
		box = quota.Quota{Octets: own.QuotaOctets, Messages: own.QuotaMessages}.Or(limit(d.Quota)).Or(all).Or(quota.None())
		return box, limit(d.QuotaTotal).Or(quota.None())
	}
	return p
}

// limit is a quota of the configuration, in which 0 says nothing.
func limit(q config.Quota) quota.Quota {
	return quota.Quota{Octets: q.Octets, Messages: int64(q.Messages)}
}
