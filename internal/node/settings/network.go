package settings

import (
	"net/netip"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/config"
	"sallyport/internal/directory/proof"
	"sallyport/internal/trust"
	"sallyport/internal/trust/guard"
)

// Networks says which networks sign in as accounts. The error is that of networks that overlap,
// which the configuration has refused before.
func Networks(cfg config.Config) (guard.Settings, error) {
	t, err := trust.NewTable(cfg.TrustedNetworks())
	return guard.Settings{Table: t, Balancers: cfg.Proxy.From, Trust: trust.DefaultLimits()}, err
}

// ProveNetworks proves that the networks of a configuration let in nobody beside their devices,
// on this host. The error names the witness.
func ProveNetworks(cfg config.Config, s guard.Settings, h trust.Host) (proof.Report, error) {
	h.Balancers = s.Balancers
	r := proof.Networks(proof.NetworkWorld{Networks: cfg.TrustedNetworks(), Host: h, Of: s.Table.Of, Judge: func(a netip.Addr, e trust.Evidence, now time.Time) string {
		return trust.Judge(a, h, e, s.Trust, now)
	}})
	if w := r.Witness; w != nil {
		return r, cfg.Fault("network."+w.Cause.Name+".from", "this is open: "+w.String(), "name the networks of your devices alone")
	}
	return r, nil
}

// Allowance is how many recipients an account may have: one of a trusted network no more than
// the network, whatever was set for it.
func Allowance(cfg config.Config, a accounts.Account) budget.Limits {
	own := a.Allowance(cfg.Budget.Person, cfg.Budget.Bulk)
	for _, n := range cfg.Networks {
		if n.Account.Key() == a.Address.Key() {
			return budget.Limits{Hour: min(own.Hour, n.Budget.Hour), Day: min(own.Day, n.Budget.Day)}
		}
	}
	return own
}

// Allowing returns how many recipients an account may have, by the configuration in force.
func Allowing(inForce func() config.Config) func(accounts.Account) budget.Limits {
	return func(a accounts.Account) budget.Limits { return Allowance(inForce(), a) }
}
