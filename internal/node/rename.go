package node

import (
	"sallyport/internal/expiry"
	"sallyport/internal/incident/notice"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/store"
)

// renaming plans what rooms that no command asks keep of an account under its address.
func (n *Node) renaming(from, to mail.Address) []store.Planner {
	return []store.Planner{
		n.data.Ledger.Moving(from, to), n.data.Inflow.Moving(from, to), n.watch.Moving(from, to), n.data.Quota.Moving(from, to), notice.Moving(n.data.Store, from, to), expiry.Moving(n.data.Store, from, to),
		n.data.Findings.Dropping(from), // they are about names that were not the account's, as it was called then
	}
}

// naming is what the configuration in force says of addresses.
func (n *Node) naming(meant func(mail.Address) bool) []string {
	return settings.Naming(n.config(), meant)
}
