package mx

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/nexthop/pool"
	"sallyport/internal/smtp/client"
)

// tlsSessions is how many TLS sessions are remembered for resumption.
const tlsSessions = 1024

var (
	errTooManyOpen         = errors.New("too many connections of this server are open")
	errTooManyDestinations = errors.New("too many destinations are being delivered to")
)

// destination is a domain or a literal; exactly one of them is set. Messages that ask
// for something of TLS have connections of their own: those of others do not serve
// them.
type destination struct {
	domain  mail.Domain
	literal netip.Addr
	demand  mail.TLSDemand
}

// String returns the destination as it stands in an address.
func (d destination) String() string {
	if d.literal.IsValid() {
		return mail.FormatLiteral(d.literal)
	}
	return d.domain.ASCII()
}

// Targets holds what is known of each destination that is being delivered to: its
// connections, how many it bears, and whether it is being left alone. It is safe
// for concurrent use.
type Targets struct {
	o        Options
	sessions tls.ClientSessionCache

	mu     sync.Mutex
	known  map[destination]*list.Element
	order  *list.List // of *entry; the one used last in front
	opened int        // connections that are open or being opened
}

// entry is one destination that is known.
type entry struct {
	to   destination
	pool *pool.Pool
	busy int // deliveries under way
	used time.Time
}

// New returns the targets; it asks and connects to nothing yet. It fails when an
// option is missing.
func New(o Options) (*Targets, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Targets{
		o: o, sessions: tls.NewLRUClientSessionCache(tlsSessions),
		known: map[destination]*list.Element{}, order: list.New(),
	}, nil
}

// For returns the target of a domain. It costs nothing and may be kept.
func (t *Targets) For(d mail.Domain) nexthop.Target { return target{t, destination{domain: d}} }

// ForLiteral returns the target of an address literal. RFC 5321 §4.1.3.
func (t *Targets) ForLiteral(ip netip.Addr) nexthop.Target {
	return target{t, destination{literal: ip}}
}

// Close ends the kept connections. Deliveries under way go on; their connections
// end with them.
func (t *Targets) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := t.order.Front(); e != nil; e = e.Next() {
		e.Value.(*entry).pool.Close()
	}
	t.order.Init()
	clear(t.known)
	return nil
}

// Wake has what goes to each destination try to connect, also where that failed just now.
func (t *Targets) Wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := t.order.Front(); e != nil; e = e.Next() {
		e.Value.(*entry).pool.Wake()
	}
}

// target is the nexthop.Target of one destination.
type target struct {
	t  *Targets
	to destination
}

// Deliver sends the message to the destination; every recipient is taken to be
// there.
func (g target) Deliver(ctx context.Context, j nexthop.Job) []mail.Outcome {
	if g.to.domain.IsZero() == !g.to.literal.IsValid() {
		return j.All(mail.R(451, "4.4.4", "there is no destination"), "sallyport")
	}
	g.to.demand = j.Envelope.TLS
	e, err := g.t.acquire(g.to)
	if err != nil {
		return j.All(mail.R(451, "4.3.2", err.Error()), g.to.String())
	}
	defer g.t.release(e)
	return e.pool.Deliver(ctx, j)
}

// acquire returns what is known of a destination and keeps it from being
// forgotten until release.
func (t *Targets) acquire(to destination) (*entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	if el, ok := t.known[to]; ok {
		e := el.Value.(*entry)
		e.busy++
		e.used = now
		t.order.MoveToFront(el)
		return e, nil
	}
	t.forget(now)
	if t.order.Len() >= t.o.Limits.Destinations {
		return nil, errTooManyDestinations
	}
	way, err := pool.New(pool.Options{
		Name: to.String(), Limits: t.o.Limits.pool(), Now: t.o.Now, Logger: t.o.Logger.With("destination", to.String()),
		Room: t.room,
		Open: func(ctx context.Context, j nexthop.Job) (*client.Client, pool.Failure) { return t.open(ctx, to, j) },
		Elsewhere: func(ctx context.Context, j nexthop.Job, not string) *client.Client {
			return t.elsewhere(ctx, to, j, not)
		},
	})
	if err != nil {
		return nil, err
	}
	e := &entry{to: to, pool: way, busy: 1, used: now}
	t.known[to] = t.order.PushFront(e)
	return e, nil
}

func (t *Targets) release(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.busy--
	e.used = t.o.Now()
}

// forget makes room: two of the destinations that were not used for long, so that
// their number goes down, and one more if there is no other way. Busy ones stay:
// the number of connections to a destination is counted in its entry.
func (t *Targets) forget(now time.Time) {
	full := t.order.Len() >= t.o.Limits.Destinations
	dropped := 0
	for el := t.order.Back(); el != nil && dropped < 2; {
		e, before := el.Value.(*entry), el.Prev()
		old := now.Sub(e.used) >= t.o.Limits.Forget
		if !old && !(full && dropped == 0) {
			return
		}
		if e.busy == 0 {
			t.order.Remove(el)
			delete(t.known, e.to)
			e.pool.Close()
			dropped++
		}
		el = before
	}
}

// dial opens a connection that counts until it is closed.
func (t *Targets) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	if !t.reserve() {
		return nil, errTooManyOpen
	}
	nc, err := t.o.Dial(ctx, to)
	if err != nil {
		t.unreserve()
		return nil, err
	}
	return &counted{Conn: nc, done: sync.OnceFunc(t.unreserve)}, nil
}

// counted is a connection that gives its place back when it is closed.
type counted struct {
	net.Conn
	done func()
}

// Close closes the connection; the first time, its place becomes free.
func (c *counted) Close() error {
	defer c.done()
	return c.Conn.Close()
}

// reserve takes the place of one connection. When none is free, the kept
// connections of the destination that has not been used for longest make room.
func (t *Targets) reserve() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.opened >= t.o.Limits.Open {
		spare := t.spare()
		if spare == nil {
			return false
		}
		t.mu.Unlock()
		n := spare.Drop()
		t.mu.Lock()
		if n == 0 {
			return false // somebody uses them again
		}
	}
	t.opened++
	return true
}

// shareOfFree is the part of the connections still free that one destination may
// use: a quarter, so that no number of slow destinations takes all of them.
const shareOfFree = 4

// room is how many connections a destination may use at this moment.
func (t *Targets) room() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return (t.o.Limits.Open - t.opened) / shareOfFree
}

// spare returns a destination with kept connections, nil if there is none.
func (t *Targets) spare() *pool.Pool {
	for el := t.order.Back(); el != nil; el = el.Prev() {
		if e := el.Value.(*entry); e.pool.Use().Kept > 0 {
			return e.pool
		}
	}
	return nil
}

func (t *Targets) unreserve() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opened--
}
