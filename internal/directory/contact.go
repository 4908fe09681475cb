package directory

import (
	"slices"
	"strings"
	"time"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// Contact is where the owner of an account is told of what becomes of it, beside its own
// mailbox, which whoever stole its password reads as well.
type Contact struct {
	Account mail.Address
	Address mail.Address // of no domain of ours; zero: none any more
	// Former are those that were replaced, and are told so.
	Former []FormerContact
}

// FormerContact is a contact that was replaced.
type FormerContact struct {
	Address mail.Address `json:"address"`
	Until   time.Time    `json:"until"`
}

// Reaches reports whether a is where the owner is told, or was.
func (c Contact) Reaches(a mail.Address) bool {
	return !a.IsZero() && (a == c.Address || slices.ContainsFunc(c.Former, func(f FormerContact) bool { return f.Address == a }))
}

// MaxFormerContacts is how many contacts that were replaced an account keeps; the latest.
const MaxFormerContacts = 8

// Subject names the contact in a Fault.
func (c Contact) Subject() Subject { return Subject{KindContact, c.Account.String()} }

// addContacts takes the contacts of accounts. One in a domain of ours would be a mailbox
// of somebody else here, and one at a literal could lie in the operator's own network.
// What was replaced is no fault, whatever became of its domain: it is told once, if it is
// not ours.
func (b *base) addContacts(contacts []Contact, f *faults) {
	for _, c := range contacts {
		b.checkContact(c, f)
		b.contacts.fresh(c.Account.Key(), c.clone(), len(contacts))
	}
}

func (c Contact) clone() Contact { return Contact{c.Account, c.Address, slices.Clone(c.Former)} }

// checkContact checks one contact against those that are in b already.
func (b *base) checkContact(c Contact, f *faults) {
	key, s := c.Account.Key(), c.Subject()
	if _, ours := b.domains[c.Account.Domain()]; !ours {
		f.about(s, "the contact of %s is of an account in no domain of ours", c.Account)
	}
	if _, twice := b.contacts.get(key); twice {
		f.about(s, "the contact of %s is given twice", c.Account)
	}
	switch {
	case c.Address.IsZero():
	case c.Address.Domain().IsZero():
		f.about(s, "the contact of %s is in no domain", c.Account)
	case b.isOurs(c.Address.Domain()):
		f.about(s, "the contact of %s is %s, an address of ours", c.Account, c.Address)
	}
	if len(c.Former) > MaxFormerContacts {
		f.about(s, "the contact of %s replaced more than %d others", c.Account, MaxFormerContacts)
	}
}

// Contact returns the contact of an account that exists; false: it has none. The caller
// must not change it.
func (s *Snapshot) Contact(account mail.Address) (Contact, bool) {
	if s.accounts == nil || account.IsZero() {
		return Contact{}, false
	}
	c, ok := s.base.contacts.get(account.Key())
	if !ok {
		return Contact{}, false
	}
	_, exists := s.account(account.Key())
	return c, exists
}

// ClassifyNotice tells what a is to a notice about an account: to any other message a
// contact is a foreign address like others.
func (s *Snapshot) ClassifyNotice(account, a mail.Address) Class {
	class := s.Classify(a)
	c, ok := s.Contact(account)
	if !ok || !class.Foreign() || a.Domain().IsZero() || !c.Reaches(a) {
		return class
	}
	return Class{Destination: gate.DestinationContact, Rule: RuleContact}
}

// Replaced returns the contacts of accounts that exist which replaced another one, in the
// order of accounts.
func (s *Snapshot) Replaced() (all []Contact) {
	for _, c := range s.base.contacts.all {
		if _, ok := s.Contact(c.Account); ok && len(c.Former) > 0 {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Contact) int { return strings.Compare(a.Account.Key(), b.Account.Key()) })
	return all
}
