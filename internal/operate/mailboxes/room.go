package mailboxes

import (
	"context"
	"strconv"

	"sallyport/internal/budget/quota"
	"sallyport/internal/mail"
)

// Quota is what an operator needs of what mailboxes hold.
type Quota interface {
	Of(ctx context.Context, account mail.Address) (quota.Held, error)
	Filled() (all []quota.Filled, nearly, full int)
}

// Room is what the mailbox of an account holds and may hold.
type Room struct {
	quota.Held
	// Own is what was set for this account alone; 0: it is its domain's.
	Own quota.Quota `json:"own"`
}

// Filling are the mailboxes and domains that are nearly full.
type Filling struct {
	Nearly int            `json:"nearly"` // that are so full that the owner was told, or fuller
	Full   int            `json:"full"`   // of them
	First  []quota.Filled `json:"first"`  // the fullest
}

// MailboxesFilling returns those that are nearly full; nil: none is.
func (op *Actions) MailboxesFilling() *Filling {
	if op.o.Quota == nil {
		return nil
	}
	all, nearly, full := op.o.Quota.Filled()
	if nearly == 0 {
		return nil
	}
	return &Filling{nearly, full, all}
}

// MailboxRoom returns what there is of an account's mailbox; nil: that is not known.
func (op *Actions) MailboxRoom(ctx context.Context, a mail.Address, own quota.Quota) *Room {
	if op.o.Quota == nil {
		return nil
	}
	h, err := op.o.Quota.Of(ctx, a)
	if err != nil {
		op.o.Logger.Warn("it is not known what a mailbox holds", "account", a.String(), "err", err)
		return nil
	}
	return &Room{h, own}
}

// Own is what was set for one account alone.
func Own(octets, messages int64) quota.Quota { return quota.Quota{Octets: octets, Messages: messages} }

// QuotaText says one number of a quota that was set for an account.
func QuotaText(n int64) string {
	switch n {
	case 0:
		return "its domain's"
	case quota.Unbounded:
		return "none"
	}
	return strconv.FormatInt(n, 10)
}
