// Package named delivers to one next hop that the administrator configured (a route or smarthost
// for outbound mail, or an internal server behind this one), and verifies recipients there.
//
// It promises one outcome per recipient whatever the next hop does, that a message
// is counted as delivered only on the next hop's word after its last octet, that the
// next hop is dialled as it is configured and nowhere else, and that it costs bounded
// connections, memory and time. Connections are kept and used again; how many are used
// at once adapts to what the next hop bears. Deliveries and questions have connections
// apart, so that neither holds up the other. A next hop that cannot be reached is left
// alone for as long as finding that out took, and meanwhile every delivery to it is
// deferred at once. Where a next hop has several hosts, or its name several addresses, another one is asked
// where one does not serve, or defers.
//
// A fault of the way there (no connection, failed TLS, rejected credentials) never
// fails a message for good: it is deferred, and the operator can mend it.
package named

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/pool"
	"sallyport/internal/nexthop/token"
	"sallyport/internal/smtp/client"
)

// Place is where a next hop is and how it is reached, as the administrator wrote it. It
// is comparable: places that are equal are reached in the same way.
type Place struct {
	// Ours says that it is a server of ours that stands behind us, where mail has arrived:
	// it is given each mailbox once, and what is full there may pass.
	Ours    bool
	LMTP    bool
	Network string // "tcp" or "unix"
	Address string // host:port, or the path of the socket
	Host    string // the name or address that its certificate must bear
	// Others are further hosts for the same mail, reached in the same way: host:port each, with blanks between.
	Others string
	TLS    mail.TLSMode
	CA     string // file of the authorities to trust; "": the system's
	User   string // "": do not sign in by a password or a token
	// PasswordFile is read for each new connection, so that a changed password needs no
	// restart.
	PasswordFile string
	// Token is where the access token comes from that signs in User instead of a password;
	// zero: there is none.
	Token token.Endpoint
	// Cert and CertKey are the files of a certificate that is shown to a next hop that asks,
	// and that signs in by itself where there is no User; "": none. They are read for each
	// new connection.
	Cert, CertKey string
	Limits        Limits
}

// credentials reports whether something of ours is shown to the next hop.
func (p Place) credentials() bool { return p.User != "" || !p.Token.IsZero() || p.Cert != "" }

// Means is what every target works with; all fields but Lookup and Tokens are required.
type Means struct {
	Hello mail.Domain                                                       // our name
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error) // Dialer() in a server
	// Lookup returns the addresses of a next hop's name, so that another can be asked where one does not
	// serve, or defers; nil: each next hop is what Dial reaches. Lookup() in a server.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Timeouts are those of deliveries. A question has the time of its context.
	Timeouts client.Timeouts
	SMTP     client.Limits
	// Tokens returns the source of an endpoint's tokens; nil: no place has any.
	Tokens func(token.Endpoint) (*token.Source, error)
	Now    func() time.Time
	Logger *slog.Logger
}

// Target is one next hop. It is safe for concurrent use.
type Target struct {
	place       Place
	means       Means // with the next hop among the keys of its logger
	authorities authorities
	tls         *tls.Config
	token       *token.Source // nil: no token signs us in
	deliveries  *pool.Pool
	questions   *pool.Pool   // nil: it is never asked
	utf8        atomic.Int32 // whether it offers SMTPUTF8: 0, saidYes, saidNo
}

var _ nexthop.Target = (*Target)(nil)

// Dialer returns the dialer of a server. Multipath TCP is off: the sandbox does
// not see such connections.
func Dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{}
	d.SetMultipathTCP(false)
	return d.DialContext
}

// New returns the target; it connects to nothing yet. It fails when something is
// missing, when the file of authorities cannot be read (ErrAuthorities), or when a
// password would go out in clear text.
func New(p Place, m Means) (*Target, error) {
	a, err := readAuthorities(p.CA)
	if err != nil {
		return nil, err
	}
	return newTarget(p, m, a)
}

func newTarget(p Place, m Means, a authorities) (*Target, error) {
	switch {
	case p.Network != "tcp" && p.Network != "unix" || p.Address == "" || p.Host == "":
		return nil, errors.New("named: a network, an address and a host must be given")
	case m.Hello.IsZero() || m.Dial == nil || m.Now == nil || m.Logger == nil:
		return nil, errors.New("named: our name, dialer, clock and logger must be given")
	case !p.Limits.valid():
		return nil, errors.New("named: every limit must be positive")
	case p.TLS == mail.TLSUndecided || p.TLS > mail.TLSImplicit:
		return nil, errors.New("named: whether to use TLS is undecided")
	case p.credentials() && p.TLS != mail.TLSRequired && p.TLS != mail.TLSImplicit:
		return nil, errors.New("named: credentials are only sent under TLS that is required")
	case p.User != "" && (p.PasswordFile == "") == p.Token.IsZero(),
		p.User == "" && !p.Token.IsZero():
		return nil, errors.New("named: a user signs in with a password or a token")
	case (p.Cert == "") != (p.CertKey == ""):
		return nil, errors.New("named: a certificate and its key must be given")
	}
	if p.Ours {
		m.Logger = m.Logger.With("behind", p.Address)
	} else {
		m.Logger = m.Logger.With("route", p.Address)
	}
	t := &Target{
		place: p, means: m, authorities: a,
		tls: &tls.Config{RootCAs: a.pool, ServerName: p.Host, ClientSessionCache: tls.NewLRUClientSessionCache(1)},
	}
	if !p.Token.IsZero() {
		if m.Tokens == nil {
			return nil, errors.New("named: there is nobody to give tokens")
		}
		var err error
		if t.token, err = m.Tokens(p.Token); err != nil {
			return nil, err
		}
	}
	var errs [2]error
	t.deliveries, errs[0] = t.pool(p.Limits.Connections, min(p.Limits.Start, p.Limits.Connections))
	if p.Limits.Questions > 0 {
		t.questions, errs[1] = t.pool(p.Limits.Questions, p.Limits.Questions)
	}
	return t, errors.Join(errs[:]...)
}

func (t *Target) pool(connections, start int) (*pool.Pool, error) {
	l := t.place.Limits
	return pool.New(pool.Options{
		Name: t.place.Address, Open: t.open, Elsewhere: t.elsewhere, AtOnce: t.place.Ours, Used: t.used, Now: t.means.Now, Logger: t.means.Logger,
		Limits: pool.Limits{Connections: connections, Start: start, Messages: l.Messages, Idle: l.Idle, Rest: l.Rest},
	})
}

// Place returns where the next hop is, as New was told.
func (t *Target) Place() Place { return t.place }

// Close ends the kept connections. What is under way goes on; its connections end
// with it.
func (t *Target) Close() error {
	for _, p := range t.pools() {
		p.Close()
	}
	return nil
}

// Wake has what goes to the next hop try to connect, also where that failed just now.
func (t *Target) Wake() {
	for _, p := range t.pools() {
		p.Wake()
	}
}

func (t *Target) pools() []*pool.Pool {
	if t.questions == nil {
		return []*pool.Pool{t.deliveries}
	}
	return []*pool.Pool{t.deliveries, t.questions}
}

// Deliver sends the message to the next hop, in as many transactions as the next
// hop takes recipients at once.
func (t *Target) Deliver(ctx context.Context, j nexthop.Job) []mail.Outcome {
	if t.place.Ours {
		return arrive(ctx, t.deliveries, j)
	}
	return t.deliveries.Deliver(ctx, j)
}

// errNotAsked says that a next hop has no connections for questions.
var errNotAsked = errors.New("named: this next hop is not asked about recipients")

// Ask asks the next hop whether it would take mail for an address, and returns its
// reply and who gave it. The error says that there is none: an *Unreachable of
// package pool, or an error of smtp/client's Verify.
func (t *Target) Ask(ctx context.Context, a mail.Address) (r mail.Reply, remote string, err error) {
	if t.questions == nil {
		return mail.Reply{}, t.place.Address, errNotAsked
	}
	replies, remote, err := t.questions.Ask(ctx, []mail.Address{a})
	if err != nil {
		return mail.Reply{}, remote, err
	}
	return replies[0], remote, nil
}

// What a server said, if it did.
const (
	saidYes = 1 + iota
	saidNo
)

// International reports whether the next hop takes internationalised addresses (RFC 6531
// §3.1), as it said when it was connected to last; known: it was. One that was not yet is
// asked about a, whatever it says of it, for its greeting.
func (t *Target) International(ctx context.Context, a mail.Address) (takes, known bool) {
	if t.utf8.Load() == 0 {
		_, _, _ = t.Ask(ctx, a) // open notes what it offers
	}
	said := t.utf8.Load()
	return said == saidYes, said != 0
}
