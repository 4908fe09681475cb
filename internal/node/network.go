package node

import (
	"context"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/node/settings"
	"sallyport/internal/trust"
	"sallyport/internal/trust/guard"
)

// openNetworks makes who guards the networks that sign in as accounts.
func (n *Node) openNetworks(ctx context.Context) (err error) {
	n.networks, err = guard.Open(ctx, guard.Options{
		Store: n.data.Store, Look: n.o.Look, Account: n.data.Accounts.Lookup,
		Contain: func(ctx context.Context, i incident.Incident, by ...fact.Pair) (incident.Incident, accounts.Account, int, error) {
			return n.incidents.Contain(ctx, i, by...)
		},
		Limits: guard.DefaultLimits(), Now: n.o.Now, Logger: n.log,
	})
	return err
}

// buildNetworks says which networks sign in as accounts.
func (n *Node) buildNetworks(_ context.Context, next, _ *generation) error {
	s, err := settings.Networks(next.cfg)
	if err != nil {
		return next.cfg.Fault("network", err.Error(), "")
	}
	h, err := n.o.Look()
	if err != nil {
		h = trust.Host{Known: true} // the guard trusts nobody until it can look
	}
	if _, err := settings.ProveNetworks(next.cfg, s, h); err != nil {
		return err
	}
	next.then = append(next.then, func() { n.networks.Adjust(s) })
	return nil
}
