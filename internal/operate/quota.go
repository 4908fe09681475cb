package operate

import (
	"context"
	"strconv"

	"sallyport/internal/accounts"
	"sallyport/internal/budget/quota"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// Quota is what an Operator needs of what mailboxes hold.
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

// filling returns those that are nearly full; nil: none is.
func (op *Operator) filling() *Filling {
	if op.o.Quota == nil {
		return nil
	}
	all, nearly, full := op.o.Quota.Filled()
	if nearly == 0 {
		return nil
	}
	return &Filling{nearly, full, all}
}

// room returns what there is of an account's mailbox; nil: that is not known.
func (op *Operator) room(ctx context.Context, a mail.Address, own quota.Quota) *Room {
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

func ownQuota(a accounts.Account) quota.Quota {
	return quota.Quota{Octets: a.QuotaOctets, Messages: a.QuotaMessages}
}

// setQuota changes how much the mailbox of an account may hold.
func (op *Operator) setQuota(ctx context.Context, by Caller, a mail.Address, r AccountSet) error {
	old, err := op.o.Accounts.Get(a)
	if err != nil {
		return err
	}
	next := ownQuota(old)
	if r.QuotaOctets != nil {
		next.Octets = *r.QuotaOctets
	}
	if r.QuotaMessages != nil {
		next.Messages = *r.QuotaMessages
	}
	if next.Octets < 0 || next.Messages < 0 {
		return invalid(errText("a quota is at least 1; 0 is that of the domain again"))
	}
	told := fact.EncodeAll(op.accountFact(by, a, "quota changed",
		fact.Pair{Name: "quota octets", Value: quotaText(next.Octets)}, fact.Pair{Name: "quota messages", Value: quotaText(next.Messages)}))
	_, err = op.o.Accounts.SetQuota(ctx, a, next.Octets, next.Messages, told)
	return err
}

// quotaText says one number of a quota that was set for an account.
func quotaText(n int64) string {
	switch n {
	case 0:
		return "its domain's"
	case quota.Unbounded:
		return "none"
	}
	return strconv.FormatInt(n, 10)
}
