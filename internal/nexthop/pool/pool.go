// Package pool delivers to one next hop over connections that it keeps, whether the administrator
// configured that or the DNS named it.
//
// It promises one outcome per recipient whatever the next hop does, that a message
// is sent once in an attempt unless nothing of it had been sent or the recipient was put off
// and the next hop has another host, which is asked once, and that a next
// hop costs bounded connections. How many are used at once adapts to what the next
// hop bears. A next hop that cannot be reached is left alone for as long as
// finding that out took, and meanwhile every delivery to it is deferred at once.
//
// How a connection comes about is its user's business: Options.Open.
package pool

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/smtp/client"
)

// Limits bounds what a next hop may use.
type Limits struct {
	Connections int           // at once, the most
	Start       int           // at once, before anything is known about the next hop
	Messages    int           // on one connection
	Idle        time.Duration // how long an unused connection is kept
	// Rest is the longest time for which a next hop that could not be reached is
	// left alone.
	Rest time.Duration
}

func (l Limits) valid() bool {
	return min(l.Connections, l.Start, l.Messages) > 0 && min(l.Idle, l.Rest) > 0
}

// Failure says why there is no connection, and who is to blame.
type Failure struct {
	Reply  mail.Reply // never positive; a permanent one fails the message for good
	Remote string
}

// Options says where to and how; all but Elsewhere, AtOnce, Room and Used are required.
type Options struct {
	Name string // of the next hop, who speaks in outcomes while there is no connection
	// Open makes a new connection for a job, or says why there is none.
	Open func(ctx context.Context, j nexthop.Job) (*client.Client, Failure)
	// Elsewhere makes a connection for a job to another host than the one that deferred it, which
	// is named as in outcomes; nil when there is none. It is nil itself where the next hop is one
	// host.
	Elsewhere func(ctx context.Context, j nexthop.Job, not string) *client.Client
	// AtOnce: what a host defers by its answer is offered to another one in the first attempt already,
	// since none of them wants a second one.
	AtOnce bool
	Limits Limits
	// Room says how many connections the next hop may use at this moment, where
	// several share a bound; nil: as many as Limits says. One is always allowed.
	Room func() int
	// Used is told of a connection each time that it served, and when the next hop held it
	// for signed in no more. Then it says whether signing in anew is worth a try at once;
	// nil: always.
	Used   func(ctx context.Context, c *client.Client, signedOut bool) (anew bool)
	Now    func() time.Time
	Logger *slog.Logger // with the next hop among its keys
}

// Pool is the way to one next hop. It is safe for concurrent use.
type Pool struct {
	o       Options
	all     *connections
	forgone forgone
}

var _ nexthop.Target = (*Pool)(nil)

// New returns the pool; it connects to nothing yet.
func New(o Options) (*Pool, error) {
	switch {
	case o.Name == "" || o.Open == nil || o.Now == nil || o.Logger == nil:
		return nil, errors.New("pool: name, connections, clock and logger must be given")
	case !o.Limits.valid():
		return nil, errors.New("pool: every limit must be positive")
	}
	return &Pool{o: o, all: newConnections(o.Limits)}, nil
}

// Close ends the kept connections. Deliveries under way go on; their connections
// end with them.
func (p *Pool) Close() { p.all.close() }

// Drop ends the kept connections at once and returns how many there were. The pool
// keeps others later.
func (p *Pool) Drop() int { return p.all.drop() }

// Use is what goes on at a next hop at one moment.
type Use struct {
	Active  int // deliveries under way
	Waiting int // deliveries that stand in line
	Kept    int // connections that nobody uses
}

// Use returns what goes on.
func (p *Pool) Use() Use {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	return Use{Active: p.all.active, Waiting: len(p.all.waiting), Kept: len(p.all.idle)}
}

// Deliver sends the message to the next hop, in as many transactions as the next
// hop takes recipients at once.
func (p *Pool) Deliver(ctx context.Context, j nexthop.Job) []mail.Outcome {
	out := j.All(mail.Reply{}, p.o.Name)
	left := make([]int, len(out))
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 {
		var more []int
		before := len(p.forgone.now(p.o.Now()))
		for n, o := range p.transact(ctx, j, left) {
			out[left[n]] = o
			if tooMany(o.Reply) || client.OfferUnkept(o) {
				more = append(more, left[n])
			}
		}
		// Each round settles somebody, or finds something to do without, or there is no other.
		if len(more) == len(left) && len(p.forgone.now(p.o.Now())) <= before {
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

// partOf is a job for some of the recipients.
func partOf(j nexthop.Job, some []int) nexthop.Job {
	part := j
	part.Recipients = make([]nexthop.Recipient, len(some))
	for n, i := range some {
		part.Recipients[n] = j.Recipients[i]
	}
	return part
}

// transact sends the message to some of the recipients in one transaction.
func (p *Pool) transact(ctx context.Context, j nexthop.Job, some []int) []mail.Outcome {
	part := partOf(j, some)
	if err := p.all.enter(ctx); err != nil {
		return part.All(mail.R(451, "4.3.2", "the delivery was interrupted"), p.o.Name)
	}
	defer p.all.leave()
	anew := true // we have not signed in anew yet
	if c := p.all.take(); c != nil {
		out, end := p.send(ctx, c, part)
		if end == served {
			return p.elsewhere(ctx, part, out, c.Remote(), end)
		}
		// The next hop closed the connection while it was kept, and has nothing of
		// this message: that is no fault, and a new connection is worth one try.
		anew = end != signedOut
	}
	for {
		c, f := p.connect(ctx, part)
		if c == nil {
			return part.All(f.Reply, f.Remote)
		}
		out, end := p.send(ctx, c, part)
		if end != signedOut || !anew {
			return p.elsewhere(ctx, part, out, c.Remote(), end)
		}
		anew = false
	}
}

// end is how the use of a connection for one message ended.
type end uint8

const (
	served    end = iota // the outcomes stand, whatever they are
	stale                // it was of no more use before anything of the message was sent
	signedOut            // so too, since the next hop wanted us to sign in, which is worth another try
)

// send sends the message over one connection and keeps or ends that.
func (p *Pool) send(ctx context.Context, c *connection, j nexthop.Job) (out []mail.Outcome, _ end) {
	out, opened, err := p.offer(ctx, c.Client, j)
	if !opened {
		p.all.keep(c)
		return out, served
	}
	c.used++
	p.all.learn(err, p.room())
	if err != nil {
		p.log(j).Info("connection ended", "remote", c.Remote(), "err", err)
	}
	p.all.keep(c)
	signsAnew := p.anew(ctx, c, err)
	switch {
	case ctx.Err() != nil || !errors.Is(err, client.ErrNothingSent):
		return out, served
	case !errors.Is(err, client.ErrSignedOut):
		return out, stale
	case signsAnew:
		return out, signedOut
	}
	return out, served
}

// offer sends the message over a connection. opened: it could be read, so that the connection was
// used at all.
func (p *Pool) offer(ctx context.Context, c *client.Client, j nexthop.Job) (out []mail.Outcome, opened bool, err error) {
	body, err := j.Open()
	if err != nil {
		if !errors.Is(err, nexthop.ErrWithdrawn) {
			p.log(j).Error("message cannot be read", "err", err)
		}
		return j.All(mail.R(451, "4.3.0", "the message could not be read"), p.o.Name), false, err
	}
	defer body.Close()
	env := j.Envelope
	env.To = make([]mail.Recipient, len(j.Recipients))
	for i, to := range j.Recipients {
		env.To[i] = to.Recipient
	}
	c.Forgo(p.without(j.Attempt)...)
	out, err = c.Send(ctx, env, j.Size, body)
	p.learnOffers(c)
	return out, true, err
}

// anew tells how a connection served, and returns whether we shall sign in once more.
func (p *Pool) anew(ctx context.Context, c *connection, err error) bool {
	out := errors.Is(err, client.ErrSignedOut)
	if p.o.Used == nil || err != nil && !out {
		return out
	}
	return p.o.Used(ctx, c.Client, out) && out
}

func (p *Pool) room() int {
	if p.o.Room == nil {
		return p.o.Limits.Connections
	}
	return max(1, min(p.o.Room(), p.o.Limits.Connections))
}

func (p *Pool) log(j nexthop.Job) *slog.Logger {
	return p.o.Logger.With("queue", j.ID.String())
}

// Wake has the next delivery try to connect, also where the next hop was left alone since it could
// not be reached: somebody says that it can be.
func (p *Pool) Wake() { p.all.wake(p.o.Now()) }

// connect opens a connection, unless the next hop is being left alone. A permanent
// failure is a verdict about the destination and no reason to rest.
func (p *Pool) connect(ctx context.Context, j nexthop.Job) (*connection, Failure) {
	if f, resting := p.all.resting(p.o.Now()); resting {
		return nil, f
	}
	began := p.o.Now()
	c, f := p.o.Open(ctx, j)
	if c != nil {
		return &connection{Client: c}, Failure{}
	}
	// A failure that is none is not taken for a success.
	if class := f.Reply.Class(); class != mail.ClassTransient && class != mail.ClassPermanent {
		f.Reply = mail.R(451, "4.4.0", "there is no connection to "+p.o.Name)
	}
	if ctx.Err() == nil {
		p.log(j).Warn("no connection", "remote", f.Remote, "reply", f.Reply.String())
		if f.Reply.Class() == mail.ClassTransient {
			p.all.failed(f, p.o.Now(), p.o.Now().Sub(began))
		}
	}
	return nil, f
}
