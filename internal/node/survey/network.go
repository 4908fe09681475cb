package survey

import (
	"context"
	"net/netip"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/directory/proof"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
	"sallyport/internal/trust"
	"sallyport/internal/trust/guard"
	"sallyport/internal/trust/look"
)

// networks says of an address which trusted network it lies in, and why it does not count: by
// the addresses of this host, and by what a running server says. Without one it is taken that
// what must be proven is.
func networks(ctx context.Context, cfg config.Config, stored *operate.Client) func(netip.Addr) (trust.Network, string, string, bool) {
	s, err := settings.Networks(cfg)
	if err != nil {
		return func(netip.Addr) (trust.Network, string, string, bool) { return trust.Network{}, "", "", false }
	}
	h, _ := look.Host() // what can't be seen bars everything
	h.Balancers = s.Balancers
	closed := map[string]string{}
	if stored != nil {
		if v, err := stored.Status(ctx); err == nil && v.Server != nil {
			for _, r := range v.Networks {
				if r.State != guard.StateOpen {
					closed[r.Name] = r.Why
				}
			}
		}
	}
	return func(a netip.Addr) (n trust.Network, at, why string, ok bool) {
		if n, ok = s.Table.Of(a); !ok {
			return n, "", "", false
		}
		if why = h.Bars(a); why == "" {
			why = closed[n.Name]
		}
		p, _ := cfg.Where(directory.Subject{Kind: directory.KindNetwork, Name: n.Name})
		return n, p.String(), why, true
	}
}

// Networks proves that the networks of a configuration let in nobody beside their devices.
func Networks(cfg config.Config) (proof.Report, error) {
	s, err := settings.Networks(cfg)
	if err != nil {
		return proof.Report{}, err
	}
	h, err := look.Host()
	if err != nil {
		h = trust.Host{Known: true} // what is barred beside is seen when the server runs
	}
	return settings.ProveNetworks(cfg, s, h)
}
