package settings

import (
	"time"

	"sallyport/internal/config"
	"sallyport/internal/screen/policy"
)

// Screen says who is kept out on port 25. The error is that of the administrator's list.
func Screen(cfg config.Config, r policy.Resolver, now func() time.Time) (policy.Options, error) {
	o := policy.Options{Lists: cfg.DNSBL, RefuseAt: cfg.Screen.RefuseAt, Slow: cfg.Screen.Slow, Time: cfg.Screen.Timeout, Resolver: r, Now: now}
	if cfg.Screen.List == "" {
		return o, nil
	}
	var err error
	if o.List, err = config.ReadAccessList(cfg.Screen.List); err != nil {
		return o, cfg.Fault("screen.list", err.Error(), "")
	}
	return o, nil
}
