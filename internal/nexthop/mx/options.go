package mx

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop/pool"
	"sallyport/internal/smtp/client"
	"sallyport/internal/tlspolicy"
	"sallyport/internal/tlspolicy/mtasts"
)

// Limits bounds what a destination may use, and all of them together.
type Limits struct {
	Hosts     int           // mail exchangers that are considered, the best ones
	Addresses int           // of each host
	Tries     int           // connections that are tried for one, in an attempt
	Connect   time.Duration // to reach an address, before it greets
	Search    time.Duration // for everything up to a usable connection, with its questions and tries

	Connections int           // to one destination at once, the most
	Start       int           // to one destination at once, before anything is known about it
	Messages    int           // on one connection
	Idle        time.Duration // how long an unused connection is kept
	// Rest is the longest time for which a destination that could not be reached is
	// left alone.
	Rest time.Duration

	Destinations int           // that are known at once; kept above the messages under way
	Forget       time.Duration // a destination is forgotten when it was not used for so long
	Open         int           // connections to all destinations together
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		Hosts: 10, Addresses: 5, Tries: 5, Connect: 30 * time.Second, Search: 5 * time.Minute,
		Connections: 20, Start: 2, Messages: 100, Idle: 20 * time.Second, Rest: time.Minute,
		Destinations: 16_384, Forget: 10 * time.Minute, Open: 4096,
	}
}

func (l Limits) pool() pool.Limits {
	return pool.Limits{Connections: l.Connections, Start: l.Start, Messages: l.Messages, Idle: l.Idle, Rest: l.Rest}
}

func (l Limits) valid() bool {
	return min(l.Hosts, l.Addresses, l.Tries, l.Connections, l.Start, l.Messages, l.Destinations, l.Open) > 0 &&
		min(l.Connect, l.Search, l.Idle, l.Rest, l.Forget) > 0
}

// Options says how the world is reached. The zero Options are refused.
type Options struct {
	Hello    mail.Domain   // our name
	Names    []mail.Domain // further names by which MX records may mean us
	Resolver dnsx.Resolver
	// Own returns the addresses at which this server can be reached; it is asked
	// before each search. None of them is ever dialled.
	Own func() []netip.Addr
	// AllowPrivate lists networks that may be dialled though they are not public:
	// for an inner network that has its own DNS, and for tests. Empty: none.
	AllowPrivate []netip.Prefix
	Port         uint16 // 25 in a server. RFC 5321 §4.5.4.2
	// Dial connects to the address that was checked, without Multipath TCP, which the
	// sandbox does not see.
	Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	// STS finds out what a domain demands by MTA-STS; nil: nothing.
	STS func(ctx context.Context, d mail.Domain) mtasts.Found
	// DANE obeys TLSA records where the Resolver calls them secure.
	DANE bool
	// Roots verify the certificates of hosts where a policy demands it; nil: the
	// system's.
	Roots *x509.CertPool
	// Report is told how each attempt to secure a connection ended; nil: nobody. It
	// must be quick.
	Report   func(tlspolicy.Session)
	Timeouts client.Timeouts
	SMTP     client.Limits
	Limits   Limits
	Now      func() time.Time
	Logger   *slog.Logger
}

func (o Options) check() error {
	switch {
	case o.Hello.IsZero() || o.Resolver == nil || o.Own == nil || o.Port == 0 || o.Dial == nil || o.Now == nil || o.Logger == nil:
		return errors.New("mx: our name, resolver, our addresses, port, dialer, clock and logger must be given")
	case !o.Limits.valid() || o.Timeouts == (client.Timeouts{}) || o.SMTP == (client.Limits{}):
		return errors.New("mx: every limit must be positive")
	}
	return nil
}

// names returns every name of ours.
func (o Options) names() []dnsx.Name {
	own := []dnsx.Name{dnsx.NameOf(o.Hello)}
	for _, d := range o.Names {
		own = append(own, dnsx.NameOf(d))
	}
	return own
}
