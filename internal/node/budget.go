package node

import (
	"context"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/mail"
)

func (n *Node) openLedger(ctx context.Context, _ keys) (err error) {
	n.ledger, err = ledger.Open(ctx, n.store, ledger.Options{Now: n.o.Now, Logger: n.log})
	return err
}

// allowance says how many recipients an account may have: what was set for it, and for
// the rest what the configuration in force gives its role. What is no account has none.
func (n *Node) allowance(a accounts.Account) budget.Limits {
	own, b := budget.Limits{Hour: a.RecipientsHour, Day: a.RecipientsDay}, n.config().Budget
	switch a.Role {
	case accounts.RolePerson:
		return own.Or(b.Person)
	case accounts.RoleBulk:
		return own.Or(b.Bulk)
	}
	return budget.Limits{}
}

// forwardAllowance is what each forward may send to one target.
func (n *Node) forwardAllowance() budget.Limits { return n.config().Budget.Forward }

// forwardCharge begins what a forward's message takes of its budget.
func (n *Node) forwardCharge(account, target mail.Address) *ledger.Charge {
	return n.ledger.Charge(ledger.Forward(account, target))
}

// capped is how many accounts may write to nobody more for now.
func (n *Node) capped(ctx context.Context) int {
	all, err := n.operator.Capped(ctx)
	if err != nil {
		n.log.Warn("the capped accounts are not known", "err", err)
	}
	return len(all)
}

// sweepLedger drops counts that have become nothing.
func (n *Node) sweepLedger(ctx context.Context) {
	for {
		n.ledger.Sweep(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Hour):
		}
	}
}
