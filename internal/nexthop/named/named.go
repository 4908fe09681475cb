// Package named delivers to one next hop over SMTP: a route or a smarthost that
// the administrator named.
//
// It promises one outcome per recipient whatever the next hop does, that a message
// is counted as delivered only on the next hop's word after its last octet, and
// that a next hop costs bounded connections, memory and time. Connections are
// kept and used again; how many are used at once adapts to what the next hop
// bears. A next hop that cannot be reached is left alone for as long as finding
// that out took, and meanwhile every delivery to it is deferred at once.
//
// A fault of the route (no connection, failed TLS, rejected credentials) never
// fails a message for good: it is deferred, and the operator can mend the route.
package named

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/pool"
	"sallyport/internal/smtp/client"
)

// Limits bounds what a route may use.
type Limits struct {
	Connections int           // at once, the most
	Start       int           // at once, before anything is known about the next hop
	Messages    int           // on one connection
	Idle        time.Duration // how long an unused connection is kept
	Connect     time.Duration // to reach the next hop, before it greets
	// Rest is the longest time for which a next hop that could not be reached is
	// left alone.
	Rest time.Duration
}

// DefaultLimits returns the bounds of a route that nobody configured.
func DefaultLimits() Limits {
	return Limits{Connections: 20, Start: 4, Messages: 100, Idle: 30 * time.Second, Connect: 30 * time.Second, Rest: 30 * time.Second}
}

// Options says where a route leads and how.
type Options struct {
	Host  string // name or address of the next hop, as configured
	Port  uint16
	Hello mail.Domain // our name
	TLS   client.TLSMode
	Roots *x509.CertPool // the authorities to trust; nil: the system's
	// Credentials is asked for each new connection, so that a changed password
	// needs no restart; nil: do not sign in.
	Credentials func() (client.Credentials, error)
	Dial        func(ctx context.Context, network, addr string) (net.Conn, error) // Dialer() in a server
	Timeouts    client.Timeouts
	SMTP        client.Limits
	Limits      Limits
	Now         func() time.Time
	Logger      *slog.Logger
}

// Target is one route. It is safe for concurrent use.
type Target struct {
	o    Options
	addr string // host:port
	tls  *tls.Config
	hop  *pool.Hop
}

var _ nexthop.Target = (*Target)(nil)

// Dialer returns the dialer of a server. Multipath TCP is off: the sandbox does
// not see such connections.
func Dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{}
	d.SetMultipathTCP(false)
	return d.DialContext
}

// New returns the target; it connects to nothing yet. It fails when an option is
// missing, or when a password would go out in clear text.
func New(o Options) (*Target, error) {
	l := o.Limits
	switch {
	case o.Host == "" || o.Port == 0 || o.Hello.IsZero() || o.Dial == nil || o.Now == nil || o.Logger == nil:
		return nil, errors.New("named: host, port, our name, dialer, clock and logger must be given")
	case min(l.Connections, l.Start, l.Messages) < 1 || min(l.Idle, l.Connect, l.Rest) <= 0:
		return nil, errors.New("named: every limit must be positive")
	case o.TLS == client.TLSUndecided || o.TLS > client.TLSImplicit:
		return nil, errors.New("named: whether to use TLS is undecided")
	case o.Credentials != nil && o.TLS != client.TLSRequired && o.TLS != client.TLSImplicit:
		return nil, errors.New("named: a password is only sent under TLS that is required")
	}
	t := &Target{
		o: o, addr: net.JoinHostPort(o.Host, strconv.Itoa(int(o.Port))),
		tls: &tls.Config{RootCAs: o.Roots, ServerName: o.Host, ClientSessionCache: tls.NewLRUClientSessionCache(1)},
	}
	hop, err := pool.New(pool.Options{
		Name: t.addr, Open: t.open, Now: o.Now, Logger: o.Logger.With("route", t.addr),
		Limits: pool.Limits{Connections: l.Connections, Start: l.Start, Messages: l.Messages, Idle: l.Idle, Rest: l.Rest},
	})
	if err != nil {
		return nil, err
	}
	t.hop = hop
	return t, nil
}

// Close ends the kept connections. Deliveries under way go on; their connections
// end with them.
func (t *Target) Close() error {
	t.hop.Close()
	return nil
}

// Deliver sends the message to the next hop, in as many transactions as the next
// hop takes recipients at once.
func (t *Target) Deliver(ctx context.Context, j nexthop.Job) []mail.Outcome {
	return t.hop.Deliver(ctx, j)
}

// open opens a connection, or says why there is none: always as a reply that
// defers.
func (t *Target) open(ctx context.Context, _ nexthop.Job) (*client.Client, pool.Failure) {
	o := client.Options{
		Hello: t.o.Hello, Host: t.o.Host, TLS: client.TLSPolicy{Mode: t.o.TLS, Config: t.tls},
		Timeouts: t.o.Timeouts, Limits: t.o.SMTP,
	}
	if t.o.Credentials != nil {
		auth, err := t.o.Credentials()
		if err != nil {
			t.o.Logger.Error("credentials cannot be read", "route", t.addr, "err", err)
			// The error may hold the path of a file of ours.
			return nil, pool.Failure{Reply: mail.R(454, "4.7.0", "the credentials for "+t.addr+" cannot be read"), Remote: t.addr}
		}
		o.Auth = &auth
	}
	call := pool.Call{
		Dial:    func(ctx context.Context) (net.Conn, error) { return t.o.Dial(ctx, "tcp", t.addr) },
		Connect: t.o.Limits.Connect, SMTP: o,
		WithoutTLS: func(err error) {
			t.o.Logger.Warn("TLS failed, going on without", "route", t.addr, "err", err)
		},
	}
	c, err := call.Open(ctx)
	if err != nil {
		return nil, pool.Failure{Reply: pool.ReplyFor(t.addr, err), Remote: t.addr}
	}
	return c, pool.Failure{}
}
