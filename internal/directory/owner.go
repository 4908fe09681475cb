package directory

import (
	"slices"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// Owner answers which addresses one account may send as. The zero Owner owns
// nothing.
type Owner struct {
	snapshot *Snapshot
	key      string
}

// Owner returns the Owner of an account. For the zero address, for an account that
// is not in the snapshot and for a snapshot whose accounts cannot be read, it owns
// nothing.
func (s *Snapshot) Owner(account mail.Address) Owner {
	if s.accounts == nil || account.IsZero() {
		return Owner{}
	}
	return Owner{snapshot: s, key: account.Key()}
}

// Owns reports whether a is the account's own address, that address with a detail,
// an alias that leads to this account alone, or what a delegate lets it send as.
// Where a catch-all leads to it, it owns none of those addresses. Where only the server behind us
// knows who is who, a detail is its owner's behind "+" alone. The role
// addresses are the account's only if an alias or a delegate says so: being where
// the postmaster's mail arrives does not make one the postmaster.
func (o Owner) Owns(a mail.Address) bool {
	_, owned := o.Reason(a)
	return owned
}

// Reason is Owns, and names the entry that makes the address the account's.
func (o Owner) Reason(a mail.Address) (Subject, bool) {
	if o.snapshot == nil {
		return Subject{}, false
	}
	account, _ := o.snapshot.account(o.key)
	if o.delegated(a) {
		return Delegate{Account: account, Address: a}.Subject(), true
	}
	own := Subject{KindAccount, account.String()}
	c, alias := o.snapshot.Classify(a), a
	switch c.Rule {
	case RuleAccount:
		return own, a.Key() == o.key // whoever gets a copy
	case RuleDetail:
		if o.snapshot.mayBeAnother(a) {
			return Subject{}, false
		}
		if base, _, ok := o.snapshot.split(a); ok {
			if account, ok := o.snapshot.account(base.Key()); ok {
				return own, account.Key() == o.key
			}
			alias = base
		}
	case RuleAlias:
	default:
		return Subject{}, false
	}
	// Whether the server behind us takes mail for it does not make it another's.
	boxes := slices.Concat(c.Mailboxes, c.Ask)
	return Subject{KindAlias, alias.String()}, len(boxes) == 1 && len(c.Missing) == 0 && boxes[0].Account.Key() == o.key
}

// mayBeAnother reports whether an address with a detail may be somebody else's all the same: the server behind
// us alone knows whether it has a mailbox of the whole name, and names have hyphens.
func (s *Snapshot) mayBeAnother(a mail.Address) bool {
	return s.base.detail != '+' && s.base.domains[a.Domain()].Recipients == RecipientsCallout
}

// Ownership tells what an envelope sender is to an account; the zero account is
// none. An own address literal is ours, and nobody's.
func (s *Snapshot) Ownership(account mail.Address, from mail.ReversePath) gate.Ownership {
	if from.IsZero() {
		return gate.OwnershipUnknown
	}
	a, named := from.Address()
	switch {
	case !named:
		return gate.OwnershipNull
	case s.Classify(a).Foreign():
		return gate.OwnershipForeign
	case s.Owner(account).Owns(a):
		return gate.OwnershipOwned
	}
	return gate.OwnershipOurs
}
