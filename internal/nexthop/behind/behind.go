// Package behind delivers to a server of ours that stands behind us, over LMTP or
// SMTP, and asks it about recipients.
//
// It promises one outcome per recipient whatever that server does, that the server
// is dialled as it is configured and nowhere else, and that it costs bounded
// connections, memory and time. Deliveries and questions have connections apart, so
// that neither holds up the other; both are kept and used again.
//
// A fault of the connection (nobody answers, failed TLS) never fails a message for
// good: it is deferred, and the operator can mend it.
package behind

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/pool"
	"sallyport/internal/smtp/client"
)

// Limits bounds what a server behind us may use.
type Limits struct {
	Connections int           // for deliveries at once, the most
	Start       int           // for deliveries at once, before anything is known about the server
	Questions   int           // connections for questions at once
	Messages    int           // on one connection, and questions
	Idle        time.Duration // how long an unused connection is kept
	Connect     time.Duration // to reach the server, before it greets
	// Rest is the longest time for which a server that could not be reached is left
	// alone.
	Rest time.Duration
}

// DefaultLimits returns the bounds of a server behind us that nobody configured.
func DefaultLimits() Limits {
	return Limits{
		Connections: 20, Start: 4, Questions: 4, Messages: 100,
		Idle: 30 * time.Second, Connect: 10 * time.Second, Rest: 5 * time.Second,
	}
}

// Options says where the server is and how it is spoken to.
type Options struct {
	LMTP    bool
	Network string // "tcp" or "unix"
	Address string // host:port, or the path of the socket
	Host    string // the name or address that its certificate must bear
	Hello   mail.Domain
	TLS     client.TLSMode
	Roots   *x509.CertPool // the authorities to trust; nil: the system's
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	// Timeouts are those of deliveries. A question has the time of its context.
	Timeouts client.Timeouts
	SMTP     client.Limits
	Limits   Limits
	Now      func() time.Time
	Logger   *slog.Logger
}

// Target is one server behind us. It is safe for concurrent use.
type Target struct {
	o         Options
	tls       *tls.Config
	mail      *pool.Hop
	questions *pool.Hop
	utf8      atomic.Int32 // whether it offers SMTPUTF8: 0, saidYes, saidNo
}

var _ nexthop.Target = (*Target)(nil)

// New returns the target; it connects to nothing yet. It fails when an option is
// missing.
func New(o Options) (*Target, error) {
	l := o.Limits
	switch {
	case o.Network != "tcp" && o.Network != "unix" || o.Address == "":
		return nil, errors.New("behind: a network and an address must be given")
	case o.Hello.IsZero() || o.Dial == nil || o.Now == nil || o.Logger == nil:
		return nil, errors.New("behind: our name, dialer, clock and logger must be given")
	case min(l.Connections, l.Start, l.Questions, l.Messages) < 1 || min(l.Idle, l.Connect, l.Rest) <= 0:
		return nil, errors.New("behind: every limit must be positive")
	case o.TLS == client.TLSUndecided || o.TLS > client.TLSImplicit:
		return nil, errors.New("behind: whether to use TLS is undecided")
	}
	t := &Target{o: o, tls: &tls.Config{RootCAs: o.Roots, ServerName: o.Host, ClientSessionCache: tls.NewLRUClientSessionCache(1)}}
	var errs [2]error
	t.mail, errs[0] = t.hop(l.Connections, min(l.Start, l.Connections))
	t.questions, errs[1] = t.hop(l.Questions, l.Questions)
	return t, errors.Join(errs[:]...)
}

func (t *Target) hop(connections, start int) (*pool.Hop, error) {
	l := t.o.Limits
	return pool.New(pool.Options{
		Name: t.o.Address, Open: t.open, Now: t.o.Now, Logger: t.o.Logger.With("behind", t.o.Address),
		Limits: pool.Limits{Connections: connections, Start: start, Messages: l.Messages, Idle: l.Idle, Rest: l.Rest},
	})
}

// Close ends the kept connections. What is under way goes on; its connections end
// with it.
func (t *Target) Close() error {
	t.mail.Close()
	t.questions.Close()
	return nil
}

// Use returns what goes on: deliveries, and questions.
func (t *Target) Use() (deliveries, questions pool.Use) { return t.mail.Use(), t.questions.Use() }

// Resting returns why the server is left alone at the moment, and whether it is.
func (t *Target) Resting() (mail.Reply, bool) {
	for _, h := range []*pool.Hop{t.mail, t.questions} {
		if f, resting := h.Resting(); resting {
			return f.Reply, true
		}
	}
	return mail.Reply{}, false
}

// Deliver sends the message to the server behind us, for the mailboxes that the
// recipients lead to.
func (t *Target) Deliver(ctx context.Context, j nexthop.Job) []mail.Outcome {
	part := j
	// RFC 8689 §4.4: what a message demands of TLS ends at our own servers; how this one
	// is reached, the administrator decided.
	part.Envelope.TLS = mail.TLSAsUsual
	var of []int
	part.Recipients, of = merged(j.Recipients)
	said := t.mail.Deliver(ctx, part)
	out := make([]mail.Outcome, len(j.Recipients))
	for i, to := range j.Recipients {
		out[i] = said[of[i]]
		out[i].Recipient = to.Address
		if full(out[i].Reply) {
			out[i].Reply = mail.R(452, "4.2.2", "the mailbox is full; the server behind says: "+out[i].Reply.String())
			out[i].Said = false // not in these words
		}
	}
	return out
}

// full reports whether a server refuses for good what will fit when somebody tidies up:
// RFC 3463 §3.3, X.2.2; RFC 5321 §4.2.3, 552, where it gives no such code (a message that
// is too large was not sent, RFC 1870). Dovecot says so after the message, so that it was
// accepted by then. Its mailbox is one of ours: the message waits like any other, its
// sender hears of the delay if he may, and it ends when its time is over.
func full(r mail.Reply) bool {
	return r.Class() == mail.ClassPermanent && (r.Enhanced == mail.Enhanced{Class: 5, Subject: 2, Detail: 2} || r.Code == 552 && r.Enhanced == mail.Enhanced{})
}

// International reports whether the server takes internationalised addresses (RFC 6531
// §3.1), as it said when it was connected to last; known: it was.
func (t *Target) International() (takes, known bool) {
	switch t.utf8.Load() {
	case saidYes:
		return true, true
	case saidNo:
		return false, true
	}
	return false, false
}

// What a server said, if it did.
const (
	saidYes = 1 + iota
	saidNo
)

// merged returns the recipients as the server behind us knows them, each address once,
// so that nobody gets a message twice because two aliases lead to him; of says which of
// them stands for each.
func merged(all []nexthop.Recipient) (once []nexthop.Recipient, of []int) {
	at := map[mail.Address]int{}
	of = make([]int, len(all))
	for i, to := range all {
		// An alias of ours means nothing to that server.
		if !to.Mailbox.IsZero() {
			to.Address = to.Mailbox
		}
		n, known := at[to.Address]
		if !known {
			n = len(once)
			at[to.Address] = n
			once = append(once, to)
		} else {
			once[n].Notify = together(once[n].Notify, to.Notify)
		}
		of[i] = n
	}
	return once, of
}

// together asks for what either of two recipients asks to be told. Who said nothing is
// told of failures; NEVER stands alone. RFC 3461 §4.1.
func together(a, b mail.Notify) mail.Notify {
	if a == b {
		return a
	}
	var out mail.Notify
	for _, n := range []mail.Notify{a, b} {
		if n == 0 {
			n = mail.NotifyFailure
		}
		out |= n &^ mail.NotifyNever
	}
	return out
}

// Ask asks the server whether it would take mail for an address, and returns its
// reply and who gave it. The error says that there is none: an *Unreachable of
// package pool, or an error of smtp/client's Verify.
func (t *Target) Ask(ctx context.Context, a mail.Address) (r mail.Reply, remote string, err error) {
	replies, remote, err := t.questions.Ask(ctx, []mail.Address{a})
	if err != nil {
		return mail.Reply{}, remote, err
	}
	return replies[0], remote, nil
}

// open opens a connection, or says why there is none: always as a reply that
// defers.
func (t *Target) open(ctx context.Context, _ nexthop.Job) (*client.Client, pool.Failure) {
	call := pool.Call{
		Dial:    func(ctx context.Context) (net.Conn, error) { return t.o.Dial(ctx, t.o.Network, t.o.Address) },
		Connect: t.o.Limits.Connect,
		SMTP: client.Options{
			LMTP: t.o.LMTP, Hello: t.o.Hello, Host: t.o.Host, TLS: client.TLSPolicy{Mode: t.o.TLS, Config: t.tls},
			Timeouts: t.o.Timeouts, Limits: t.o.SMTP,
		},
		WithoutTLS: func(err error) {
			t.o.Logger.Warn("TLS failed, going on without", "behind", t.o.Address, "err", err)
		},
	}
	c, err := call.Open(ctx)
	if err != nil {
		return nil, pool.Failure{Reply: pool.ReplyFor(t.o.Address, err), Remote: t.o.Address}
	}
	said := int32(saidNo)
	if c.Offers("SMTPUTF8") {
		said = saidYes
	}
	t.utf8.Store(said)
	return c, pool.Failure{}
}
