package config

import (
	"net/netip"
	"time"
)

// Proxy says which balancers stand in front of this server. None: nobody may name
// another as the client.
type Proxy struct {
	From    []netip.Prefix // whose connections must begin with a PROXY header
	Timeout time.Duration  // for that header
}

func proxyKeys() []entry[Proxy] {
	return []entry[Proxy]{
		list(Key{Path: "proxy.from", Type: TypeNetworks,
			Doc: "The balancers in front of this server. A connection from there must begin with a header of " +
				"the PROXY protocol, version 1 or 2, on every door, and is closed without one; from " +
				"anywhere else such a header is no SMTP and is refused. The address that it names counts as " +
				"the client's for limits and in the trace, and never gives a right."},
			parseBalancers, func(p *Proxy) *[]netip.Prefix { return &p.From }),
		duration("proxy.timeout", "5s", "100ms", "1m", "How long a balancer may take for its header.",
			func(p *Proxy) *time.Duration { return &p.Timeout }),
	}
}

// The largest networks that balancers may be given.
const (
	balancersV4 = 16
	balancersV6 = 48
)

func parseBalancers(text string) (p netip.Prefix, message, hint string) {
	p, message, hint = parseNetwork(text)
	least := balancersV6
	if p.Addr().Is4() {
		least = balancersV4
	}
	if message == "" && p.Bits() < least {
		return p, "this network is too large to hold balancers alone",
			`whoever is in it may claim any address; name the balancers, as in ` +
				`"10.0.0.1/32"`
	}
	return p, message, hint
}
