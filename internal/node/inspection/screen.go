package inspection

import (
	"log/slog"
	"time"

	"sallyport/internal/config"
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
