package config

import "net/netip"

// Metrics says where metrics are served.
type Metrics struct {
	Listen []netip.AddrPort // none: nowhere
	Beyond bool             // other addresses than loopback are allowed
}

func metricsKeys() []entry[Config] {
	return []entry[Config]{
		list(Key{Path: "metrics.listen", Type: TypeListen, Restart: "everything is counted from the start on, or nothing is",
			Doc: `Where Prometheus reads metrics, at /metrics, as in ["127.0.0.1:9025"]. Without it they are ` +
				`served nowhere. They hold no addresses, and are not protected by a password: only loopback ` +
				`is allowed, unless beyond_loopback says otherwise. [metrics.md](metrics.md) lists them.`},
			parseListen, func(c *Config) *[]netip.AddrPort { return &c.Metrics.Listen }),
		parsed(Key{Path: "metrics.beyond_loopback", Type: TypeChoice, Default: "off", Restart: "it goes with metrics.listen",
			Doc: `"on" lets metrics.listen name addresses that other hosts reach. Let a firewall admit your Prometheus alone.`},
			parseSwitch, func(c *Config) *bool { return &c.Metrics.Beyond }),
	}
}

// checkMetrics keeps metrics on this host unless somebody asked for more.
func (s *source) checkMetrics(c *Config, root *node) {
	if c.Metrics.Beyond {
		return
	}
	at := root.child("metrics", "listen")
	for i, l := range c.Metrics.Listen {
		if !l.Addr().IsLoopback() {
			s.faultAt(at.item(i), "other hosts would read the metrics here",
				`write "127.0.0.1:9025", or add beyond_loopback = "on" and let a firewall admit your Prometheus alone`)
		}
	}
}
