package inspection

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/filter"
	"sallyport/internal/screen/geo"
	"sallyport/internal/screen/policy"
)

// screenOf says who is kept out on port 25. The error is that of the administrator's list, or of a
// file of places.
func screenOf(cfg config.Config, r policy.Resolver, log *slog.Logger, now func() time.Time) (policy.Options, error) {
	atlas, err := geo.Open(cfg.Screen.Places(), log)
	if err != nil {
		return policy.Options{}, cfg.Fault("screen", err.Error(), "")
	}
	o := policy.Options{
		Lists: cfg.DNSBL, RefuseAt: cfg.Screen.RefuseAt, Slow: cfg.Screen.Slow, Time: cfg.Screen.Timeout,
		Resolver: r, Atlas: atlas, Now: now,
	}
	if cfg.Screen.List == "" {
		return o, nil
	}
	if o.List, err = config.ReadAccessList(cfg.Screen.List); err != nil {
		return o, cfg.Fault("screen.list", err.Error(), "")
	}
	return o, nil
}

const (
	// nameTime is how long each check of a message may wait for the name of its client.
	nameTime = 2 * time.Second
	// mostNames is how many names of a client are followed back, until one is known.
	mostNames = 5
)

// named knows clients by the names that their addresses prove, for those who check content; nil: the DNS
// cannot be asked.
func named(r dnsx.Resolver) filter.Named {
	if r == nil {
		return nil
	}
	return func(ctx context.Context, client netip.Addr) string {
		ctx, cancel := context.WithTimeout(dnsx.NewShare(client).Context(ctx), nameTime)
		defer cancel()
		all, _ := dnsx.ProvenNames(ctx, r, client, mostNames) // what is not known is as if it were not there
		for _, name := range all {
			if _, err := dnsx.ParseName(name); err == nil {
				return name
			}
		}
		return ""
	}
}
