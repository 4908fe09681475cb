package node

import (
	"context"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
)

// allowance is how many recipients an account may have now.
func (n *Node) allowance(a accounts.Account) budget.Limits {
	return settings.Allowance(n.config(), a)
}

// forwardAllowance is what each forward may send to one target.
func (n *Node) forwardAllowance() budget.Limits { return n.config().Budget.Forward }

// forwardCharge begins what a forward's message takes of its budget.
func (n *Node) forwardCharge(account, target mail.Address) *ledger.Charge {
	return n.data.Ledger.Charge(ledger.Forward(account, target))
}

// capped is how many accounts may write to nobody more for now.
func (n *Node) capped(ctx context.Context) int {
	all, err := n.operator.Capped(ctx)
	if err != nil {
		n.log.Warn("the capped accounts are not known", "err", err)
	}
	return len(all)
}
