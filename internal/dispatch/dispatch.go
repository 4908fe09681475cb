// Package dispatch is the hub through which mail leaves: it alone knows how a
// queued message becomes deliveries.
//
// It claims what is due, plans one group of recipients per destination, hands
// each group to its deliver.Target, and settles the message with one outcome per
// recipient. It promises that
//
//   - an outbound recipient reaches a target only while its Grant covers it and
//     the account behind it is active; otherwise the message is held, not sent;
//   - the next attempt was recorded before this one began;
//   - a destination that is dead, slow or rude holds up no other one;
//   - memory is bounded: messages beyond the limits wait in the store.
//
// Permanent failures and expired messages become one notification to a verified
// local sender, in the same durable act; nobody else is ever written to.
package dispatch

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"sallyport/internal/deliver"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
	"sallyport/internal/trace"
)

// Queue is what dispatch needs of the spool.
type Queue interface {
	Due(ctx context.Context, now time.Time, limit int) ([]spool.DueEntry, error)
	NextDue(ctx context.Context) (time.Time, bool, error)
	Claim(ctx context.Context, id mail.ID, owner string, ttl time.Duration, now time.Time) (spool.Claim, error)
	Settle(ctx context.Context, t spool.Token, outcomes []mail.Outcome, now time.Time, f spool.Final) (spool.Settled, error)
	Postpone(ctx context.Context, t spool.Token, until time.Time, facts [][]byte) error
	HoldClaimed(ctx context.Context, t spool.Token, reason string, facts [][]byte) error
	OpenBody(ctx context.Context, id mail.ID) (io.ReadCloser, error)
	NewBody(ctx context.Context) (*spool.Body, error)
	Watch() <-chan struct{}
}

// Journal is what dispatch needs of the trace.
type Journal interface {
	Write(ctx context.Context, facts ...trace.Fact) error
}

// Limits bounds what is under way at once.
type Limits struct {
	Active         int           // messages claimed and in memory
	ActiveOctets   int64         // octets of their bodies kept in memory
	PerDestination int           // messages waiting for one destination
	Workers        int           // deliveries at once to one destination
	Lease          time.Duration // a claim older than this may be claimed again
	Crowded        time.Duration // how long a message waits at least when its destination's queue is full
	Idle           time.Duration // the queue is looked at this often at least
}

// DefaultLimits returns the limits of a server that was told nothing.
func DefaultLimits() Limits {
	return Limits{
		Active: 10_000, ActiveOctets: 64 << 20, PerDestination: 2_000, Workers: 20,
		Lease: 30 * time.Minute, Crowded: 2 * time.Second, Idle: time.Minute,
	}
}

// Options are everything that dispatch works with; all are required.
type Options struct {
	Hostname  mail.Domain
	Queue     Queue
	Directory func() *directory.Snapshot
	// Active reports whether an account may send now; it is asked at every claim.
	Active  func(account mail.Address) bool
	Local   deliver.Target
	Route   func(directory.Route) deliver.Target
	Journal Journal
	Policy  sched.Policy
	Limits  Limits
	Now     func() time.Time
	Rand    io.Reader
	Logger  *slog.Logger
}

// Dispatch moves mail from the spool to its targets. Make it with New, start it
// with Run, and Offer it fresh messages.
type Dispatch struct {
	Options
	mu     sync.Mutex
	active int
	octets int64
	dests  map[destKey]*destination
	wake   chan struct{}
	work   sync.WaitGroup
	ctx    context.Context // of Run; workers end their waits with it
	closed bool
}

// New returns a Dispatch that does nothing until Run.
func New(o Options) *Dispatch {
	return &Dispatch{Options: o, dests: map[destKey]*destination{}, wake: make(chan struct{}, 1), closed: true}
}

// Offer takes a message that was just accepted, with its first claim, so that it
// need not be read back. It never blocks: what does not fit waits in the store.
func (d *Dispatch) Offer(c spool.Claim) {
	if !d.begin(&c) {
		d.postpone(context.Background(), c, d.Now())
		return
	}
	d.start(c)
}

// Run claims what is due until ctx ends, then waits for the deliveries under way;
// those have until ctx's owner cancels hard, which ends their connections.
func (d *Dispatch) Run(ctx, hard context.Context) error {
	d.mu.Lock()
	d.ctx, d.closed = hard, false
	d.mu.Unlock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return d.drain()
		case <-timer.C:
		case <-d.wake:
		case <-d.Queue.Watch():
		}
		timer.Reset(d.claimDue(ctx))
	}
}

// drain refuses new work and waits for what is under way.
func (d *Dispatch) drain() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.work.Wait()
	return nil
}

// claimDue claims what is due and has room, and returns when to look again.
func (d *Dispatch) claimDue(ctx context.Context) time.Duration {
	now := d.Now()
	room := d.room()
	if room == 0 {
		return d.Limits.Idle // finishing work wakes us
	}
	due, err := d.Queue.Due(ctx, now, room)
	if err != nil {
		d.Logger.Warn("the queue could not be read", "err", err)
		return time.Second
	}
	for _, e := range due {
		if ctx.Err() != nil {
			return 0
		}
		d.claim(ctx, e.ID, now)
	}
	if len(due) == room {
		return 0
	}
	return d.untilNext(ctx, now)
}

func (d *Dispatch) untilNext(ctx context.Context, now time.Time) time.Duration {
	next, ok, err := d.Queue.NextDue(ctx)
	if err != nil || !ok {
		return d.Limits.Idle
	}
	return min(max(next.Sub(now), 10*time.Millisecond), d.Limits.Idle)
}

func (d *Dispatch) claim(ctx context.Context, id mail.ID, now time.Time) {
	c, err := d.Queue.Claim(ctx, id, "dispatch", d.Limits.Lease, now)
	if err != nil {
		// Somebody else settled, held or claimed it: that is their business.
		d.Logger.Debug("not claimed", "queue", id.String(), "err", err)
		return
	}
	if !d.begin(&c) {
		d.postpone(ctx, c, now.Add(d.Limits.Crowded))
		return
	}
	d.start(c)
}

// begin counts a claim in, and drops its body from memory when that is full.
func (d *Dispatch) begin(c *spool.Claim) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.active >= d.Limits.Active {
		return false
	}
	d.active++
	if d.octets+int64(len(c.Body)) > d.Limits.ActiveOctets {
		c.Body = nil
	}
	d.octets += int64(len(c.Body))
	d.work.Add(1)
	return true
}

func (d *Dispatch) end(c spool.Claim) {
	d.mu.Lock()
	d.active--
	d.octets -= int64(len(c.Body))
	low := d.active < d.Limits.Active/2
	d.mu.Unlock()
	d.work.Done()
	if low {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

func (d *Dispatch) room() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return min(d.Limits.Active-d.active, 1000)
}

func (d *Dispatch) postpone(ctx context.Context, c spool.Claim, until time.Time) {
	if err := d.Queue.Postpone(ctx, c.Token, until, nil); err != nil {
		d.Logger.Warn("a claim could not be given back; its lease ends by itself", "queue", c.Entry.ID.String(), "err", err)
	}
}
