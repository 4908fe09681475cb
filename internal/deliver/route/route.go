// Package route delivers to one next hop over SMTP: a route or a smarthost that
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
package route

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"sallyport/internal/deliver"
	"sallyport/internal/mail"
	"sallyport/internal/smtpc"
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
	TLS   smtpc.TLSMode
	Roots *x509.CertPool // the authorities to trust; nil: the system's
	// Credentials is asked for each new connection, so that a changed password
	// needs no restart; nil: do not sign in.
	Credentials func() (smtpc.Credentials, error)
	Dial        func(ctx context.Context, network, addr string) (net.Conn, error) // Dialer() in a server
	Timeouts    smtpc.Timeouts
	SMTP        smtpc.Limits
	Limits      Limits
	Now         func() time.Time
	Logger      *slog.Logger
}

// Target is one route. It is safe for concurrent use.
type Target struct {
	o    Options
	addr string // host:port
	tls  *tls.Config
	pool *pool
}

var _ deliver.Target = (*Target)(nil)

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
		return nil, errors.New("route: host, port, our name, dialer, clock and logger must be given")
	case min(l.Connections, l.Start, l.Messages) < 1 || min(l.Idle, l.Connect, l.Rest) <= 0:
		return nil, errors.New("route: every limit must be positive")
	case o.TLS == smtpc.TLSUndecided || o.TLS > smtpc.TLSImplicit:
		return nil, errors.New("route: whether to use TLS is undecided")
	case o.Credentials != nil && o.TLS != smtpc.TLSRequired && o.TLS != smtpc.TLSImplicit:
		return nil, errors.New("route: a password is only sent under TLS that is required")
	}
	return &Target{
		o: o, addr: net.JoinHostPort(o.Host, strconv.Itoa(int(o.Port))), pool: newPool(l),
		tls: &tls.Config{RootCAs: o.Roots, ServerName: o.Host, ClientSessionCache: tls.NewLRUClientSessionCache(1)},
	}, nil
}

// Close ends the kept connections. Deliveries under way go on; their connections
// end with them.
func (t *Target) Close() error {
	t.pool.close()
	return nil
}

// Deliver sends the message to the next hop, in as many transactions as the next
// hop takes recipients at once.
func (t *Target) Deliver(ctx context.Context, j deliver.Job) []mail.Outcome {
	out := j.All(mail.Reply{}, t.addr)
	left := make([]int, len(out))
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 {
		var more []int
		for n, o := range t.transact(ctx, j, left) {
			out[left[n]] = o
			if tooMany(o.Reply) {
				more = append(more, left[n])
			}
		}
		// Each round settles somebody, or there is no other.
		if len(more) == len(left) {
			break
		}
		left = more
	}
	return out
}

// tooMany reports whether a recipient was put off only because the transaction
// was full. RFC 5321 §4.5.3.1.10: then it is sent in another one.
func tooMany(r mail.Reply) bool {
	return r.Code == 452 && r.Enhanced == mail.Enhanced{Class: 4, Subject: 5, Detail: 3}
}

// transact sends the message to some of the recipients in one transaction.
func (t *Target) transact(ctx context.Context, j deliver.Job, some []int) []mail.Outcome {
	part := j
	part.Recipients = make([]deliver.Recipient, len(some))
	for n, i := range some {
		part.Recipients[n] = j.Recipients[i]
	}
	if err := t.pool.enter(ctx); err != nil {
		return part.All(mail.R(451, "4.3.2", "the delivery was interrupted"), t.addr)
	}
	defer t.pool.leave()
	c := t.pool.take()
	if c != nil {
		out, stale := t.send(ctx, c, part)
		if !stale {
			return out
		}
		// The next hop closed the connection while it was kept, and has nothing of
		// this message: that is no fault, and a new connection is worth one try.
	}
	c, r := t.connect(ctx)
	if c == nil {
		return part.All(r, t.addr)
	}
	out, _ := t.send(ctx, c, part)
	return out
}

// send sends the message over one connection and keeps or ends that. stale reports
// a connection that was of no more use before anything of the message was sent.
func (t *Target) send(ctx context.Context, c *connection, j deliver.Job) (out []mail.Outcome, stale bool) {
	body, err := j.Open()
	if err != nil {
		t.log(j).Error("message cannot be read", "error", err)
		t.pool.keep(c)
		return j.All(mail.R(451, "4.3.0", "the message could not be read"), t.addr), false
	}
	defer body.Close()
	env := j.Envelope
	env.To = make([]mail.Recipient, len(j.Recipients))
	for i, to := range j.Recipients {
		env.To[i] = to.Recipient
	}
	out, err = c.Send(ctx, env, j.Size, body)
	c.used++
	t.pool.learn(err)
	if err != nil {
		t.log(j).Info("connection ended", "remote", c.Remote(), "error", err)
	}
	t.pool.keep(c)
	return out, errors.Is(err, smtpc.ErrNothingSent) && ctx.Err() == nil
}

func (t *Target) log(j deliver.Job) *slog.Logger {
	return t.o.Logger.With("queue", j.ID.String(), "route", t.addr)
}

// connect opens a connection, or says why there is none: as a reply that defers.
func (t *Target) connect(ctx context.Context) (*connection, mail.Reply) {
	if r, resting := t.pool.resting(t.o.Now()); resting {
		return nil, r
	}
	began := t.o.Now()
	c, err := t.open(ctx, t.o.TLS)
	var failed *smtpc.ConnError
	if t.o.TLS == smtpc.TLSOpportunistic && errors.As(err, &failed) && failed.Stage == smtpc.StageTLS && ctx.Err() == nil {
		// RFC 7435 §3: TLS that does not work is no worse than none offered.
		t.o.Logger.Warn("TLS failed, going on without", "route", t.addr, "error", err)
		c, err = t.open(ctx, smtpc.TLSNone)
	}
	if err == nil {
		return &connection{Client: c}, mail.Reply{}
	}
	r := connectReply(t.addr, err)
	if ctx.Err() == nil {
		t.o.Logger.Warn("no connection", "route", t.addr, "error", err)
		t.pool.failed(r, t.o.Now(), t.o.Now().Sub(began))
	}
	return nil, r
}

func (t *Target) open(ctx context.Context, mode smtpc.TLSMode) (*smtpc.Client, error) {
	o := smtpc.Options{
		Hello: t.o.Hello, Host: t.o.Host, TLS: smtpc.TLSPolicy{Mode: mode, Config: t.tls},
		Timeouts: t.o.Timeouts, Limits: t.o.SMTP,
	}
	if t.o.Credentials != nil {
		auth, err := t.o.Credentials()
		if err != nil {
			return nil, &credentialsError{err}
		}
		o.Auth = &auth
	}
	dial, cancel := context.WithTimeout(ctx, t.o.Limits.Connect)
	defer cancel()
	nc, err := t.o.Dial(dial, "tcp", t.addr)
	if err != nil {
		return nil, &dialError{err}
	}
	return smtpc.New(ctx, nc, o)
}

type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// connectReply puts a failed connection into the words of RFC 3463 §3.5.
func connectReply(addr string, err error) mail.Reply {
	var dial *dialError
	var credentials *credentialsError
	var dns *net.DNSError
	switch {
	case errors.As(err, &credentials):
		// The text may hold the path of a file of ours.
		return mail.R(454, "4.7.0", "the credentials for "+addr+" cannot be read")
	case !errors.As(err, &dial):
		return smtpc.ReplyFor(err)
	case errors.As(err, &dns):
		return mail.R(451, "4.4.3", "the name in "+addr+" cannot be resolved: "+dns.Err)
	}
	return mail.R(451, "4.4.1", fmt.Sprintf("no connection to %s: %s", addr, reason(err)))
}

// reason leaves out the addresses that the network's errors repeat.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	return mail.Printable(err.Error(), 200)
}
