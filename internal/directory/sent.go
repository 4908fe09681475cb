package directory

import "sallyport/internal/mail"

// Leads returns where a message to an address comes to when an account submits it: mailboxes of ours, or with
// leaves another host.
func (s *Snapshot) Leads(account, a mail.Address) (mailboxes []mail.Address, leaves bool) {
	c := s.ClassifyFor(account, a)
	if c.Foreign() {
		return nil, true
	}
	for _, m := range append(c.Mailboxes, c.Ask...) {
		mailboxes = append(mailboxes, m.Place())
	}
	return mailboxes, false
}

// Sole returns the account that an alias, or an address with a detail, leads to alone.
func (s *Snapshot) Sole(a mail.Address) (account mail.Address, ok bool) {
	c := s.Classify(a)
	if c.Rule != RuleAlias && c.Rule != RuleDetail || len(c.Mailboxes) != 1 || len(c.Ask) > 0 {
		return mail.Address{}, false
	}
	return c.Mailboxes[0].Account, true
}
