package settings

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"sallyport/internal/budget/clock"
	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/kit/processors"
	"sallyport/internal/nexthop/named"
	"sallyport/internal/trust"
	"sallyport/internal/trust/look"
)

// World is what a server works with beside its configuration.
type World struct {
	Logger *slog.Logger
	Now    func() time.Time
	// Clocks tell how much time passes for budgets; nil: as much as Now says, or this machine.
	Clocks func() clock.Reading
	Rand   io.Reader
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	// Lookup returns the addresses of a name that Dial takes; nil: nobody asks, unless Dial is nil too.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Resolver answers for mail exchangers; nil: the servers of mx.dns.
	Resolver dnsx.Resolver
	// DNS has everybody who asks the same servers ask by one client; nil: each has its own.
	DNS *dnsx.Shared
	// Look sees this host's own addresses and gateways, which never count for a trusted network.
	Look       func() (trust.Host, error)
	MXPort     uint16 // of mail exchangers; 0: 25
	PolicyPort uint16 // of web servers with MTA-STS policies; 0: 443
	// Commands returns a text in which each command of this program names the configuration; nil: commands find it
	// without.
	Commands func(text string) string
	// Processors gives password hashes places beside everything else; nil: they take turns with it.
	Processors *processors.Share
}

// Complete puts the real clock, network and chance where nothing else is given.
func (w World) Complete() World {
	if w.Logger == nil {
		w.Logger = slog.New(slog.DiscardHandler)
	}
	if w.Clocks == nil && w.Now == nil {
		w.Clocks = clock.Machine()
	}
	if w.Now == nil {
		w.Now = time.Now
	}
	w.Now = within(w.Now)
	if w.Clocks == nil {
		w.Clocks = func() clock.Reading { return clock.Reading{Wall: w.Now()} }
	}
	if w.Rand == nil {
		w.Rand = rand.Reader
	}
	if w.DNS == nil {
		w.DNS = new(dnsx.Shared)
	}
	if w.MXPort == 0 {
		w.MXPort = 25 // RFC 5321 §4.5.4.2
	}
	if w.PolicyPort == 0 {
		w.PolicyPort = 443 // RFC 8461 §3.3
	}
	if w.Look == nil {
		w.Look = look.Host
	}
	if w.Dial == nil {
		w.Dial = named.Dialer()
		if w.Lookup == nil {
			w.Lookup = named.Lookup()
		}
	}
	return w
}

// The years that a clock may show. Times are kept and ordered as nanoseconds since 1970 in 63 bits,
// which end in 2262; what is added to a time within the server is less than the years between.
const lastYear = 2200

// within keeps a clock within the years that can be counted with: one that is beyond stands at their end.
func within(now func() time.Time) func() time.Time {
	first, last := time.Unix(1, 0).UTC(), time.Date(lastYear, 1, 1, 0, 0, 0, 0, time.UTC)
	return func() time.Time {
		switch t := now(); {
		case t.Before(first):
			return first
		case t.After(last):
			return last
		default:
			return t
		}
	}
}

// Resolver returns what answers for mail exchangers.
func Resolver(cfg config.Config, w World) (dnsx.Resolver, error) {
	if w.Resolver != nil {
		return w.Resolver, nil
	}
	if w.DNS != nil {
		return w.DNS.System(cfg.MX.DNS, cfg.TLSPolicy.Validated, w.Now)
	}
	return dnsx.System(cfg.MX.DNS, cfg.TLSPolicy.Validated, w.Now)
}
