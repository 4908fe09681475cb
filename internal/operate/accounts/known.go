package accounts

import (
	"context"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/operate/mailboxes"
)

// Known tells other topics which accounts there are.
type Known struct{ Accounts Accounts }

// Active says whether an account is active; an error where there is none.
func (k Known) Active(a mail.Address) (bool, error) {
	account, err := k.Accounts.Get(a)
	return account.Standing == accounts.StandingActive, err
}

// Addresses are those of all accounts.
func (k Known) Addresses(ctx context.Context) ([]mail.Address, error) {
	all, err := k.Accounts.List(ctx)
	out := make([]mail.Address, len(all))
	for i, a := range all {
		out[i] = a.Address
	}
	return out, err
}

// Owner is an account as whose mailbox there is.
func (k Known) Owner(a mail.Address) (mailboxes.Owner, error) {
	account, err := k.Accounts.Get(a)
	return owner(account), err
}

// Owners are all of them.
func (k Known) Owners(ctx context.Context) ([]mailboxes.Owner, error) {
	all, err := k.Accounts.List(ctx)
	out := make([]mailboxes.Owner, len(all))
	for i, a := range all {
		out[i] = owner(a)
	}
	return out, err
}

func owner(a accounts.Account) mailboxes.Owner {
	return mailboxes.Owner{Address: a.Address, Own: mailboxes.Own(a.QuotaOctets, a.QuotaMessages)}
}

// Holder is the account that had an address at a moment.
func (k Known) Holder(a mail.Address, at time.Time) mail.Address { return k.Accounts.Holder(a, at) }

// Names are the addresses that an account has and had, the present one last.
func (k Known) Names(account mail.Address) (all []incident.Name) {
	var from time.Time
	for _, n := range k.Accounts.Names(account) {
		all, from = append(all, incident.Name{Account: n.Address, From: from, To: n.Until}), n.Until
	}
	return append(all, incident.Name{Account: account, From: from})
}
