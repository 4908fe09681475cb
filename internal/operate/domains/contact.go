package domains

import (
	"context"
	"fmt"
	"slices"

	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
)

// SetContact says where outside the owner of an account is told of incidents; zero for
// nowhere. Whom it replaces is told of that, once.
func (op *Actions) SetContact(ctx context.Context, by call.Caller, account, address mail.Address) error {
	replaced := false
	err := op.changeEntries(ctx, book.Change{Plan: func(before *roster.State) (roster.Edit, error) {
		// Asked under the lock of changes, so that nobody removes the account meanwhile.
		if _, err := op.o.Account(account); err != nil {
			return roster.Edit{}, err
		}
		ref := roster.ContactRef(account)
		e, readable := before.Get(ref)
		if before.Has(ref) && !readable && address.IsZero() {
			return roster.Edit{Remove: []roster.Ref{ref}, Facts: fact.EncodeAll(op.contactFact(by, roster.Contact{Contact: directory.Contact{Account: account}}, "removed"))}, nil
		}
		old, _ := e.(roster.Contact) // one that cannot be read is replaced
		next, change := op.nextContact(old, account, address)
		if change == "" {
			return roster.Edit{}, nil
		}
		replaced = len(next.Former) > 0
		return roster.Edit{Put: []roster.Entry{next}, Facts: fact.EncodeAll(op.contactFact(by, next, change))}, nil
	}})
	if err == nil && replaced && op.o.ContactReplaced != nil {
		op.o.ContactReplaced()
	}
	return err
}

// ParseContact reads the address of a contact; "" is none.
func (op *Actions) ParseContact(to string) (a mail.Address, err error) {
	if to == "" {
		return a, nil
	}
	a, err = mail.ParseAddress(to, mail.ASCII)
	switch {
	case err != nil:
		return a, call.Invalid(err)
	case a.Domain().IsZero():
		return a, call.Invalid(fmt.Errorf("%s is in no domain", a))
	case op.o.Book.Snapshot().IsOurs(a.Domain()):
		return a, call.Invalid(fmt.Errorf("%s is an address of this server; give one that the owner reads elsewhere, with another password", a))
	}
	return a, nil
}

// nextContact is the contact as it is to be, and what that is to the one before; "" where
// nothing changes.
func (op *Actions) nextContact(old roster.Contact, account, address mail.Address) (next roster.Contact, change string) {
	next = roster.Contact{Contact: directory.Contact{Account: account, Address: address}, Added: op.addedNow()}
	switch {
	case old.Address == address:
		return old, ""
	case old.Address.IsZero():
		change = "added"
	case address.IsZero():
		change = "removed"
	default:
		change = "changed"
	}
	next.Former = slices.Clone(old.Former)
	if !old.Address.IsZero() {
		next.Former = append(next.Former, directory.FormerContact{Address: old.Address, Until: next.Added})
	}
	next.Former = next.Former[max(0, len(next.Former)-directory.MaxFormerContacts):]
	return next, change
}

func (op *Actions) contactFact(by call.Caller, c roster.Contact, done string) fact.Fact {
	f := op.directoryFact(by, directory.KindContact, c.Account.String(), done)
	if !c.Address.IsZero() {
		f.Targets = []string{c.Address.String()}
	}
	return f.Fact()
}
