// Package dispatch is the hub through which mail leaves: it alone knows how a
// queued message becomes deliveries.
//
// It claims what is due, plans one group of recipients per destination, hands
// each group to its nexthop.Target, and settles the message with one outcome per
// recipient. It promises that
//
//   - an outbound recipient reaches a target only while its Grant covers it and
//     the account behind it is active, which is asked again before each delivery;
//     otherwise the message is held, not sent;
//   - the next attempt was recorded before this one began;
//   - a destination that is dead, slow, rude or crowded holds up no other one;
//   - memory is bounded: messages beyond the limits wait in the store;
//   - outcomes wait for a store that fails, and are not forgotten meanwhile.
//
// Permanent failures and expired messages become one notification to a verified
// local sender, in the same durable act; nobody else is ever written to. What can
// be reported to nobody is held for the administrator, never dropped.
package dispatch

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/kit/workers"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/nexthop"
	"sallyport/internal/returnpath/srs"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
)

// Queue is what dispatch needs of the spool.
type Queue interface {
	Due(ctx context.Context, now time.Time, limit int) ([]spool.DueEntry, error)
	NextDue(ctx context.Context) (time.Time, bool, error)
	Claim(ctx context.Context, id mail.ID, owner string, ttl time.Duration, now time.Time) (spool.Claim, error)
	Extend(t spool.Token, ttl time.Duration, now time.Time) error
	Room(account mail.Address, octets int64) error
	Settle(ctx context.Context, t spool.Token, outcomes []mail.Outcome, now time.Time, f spool.Final) (spool.Settled, error)
	Postpone(ctx context.Context, t spool.Token, until time.Time, facts [][]byte) error
	HoldClaimed(ctx context.Context, t spool.Token, reason string, facts [][]byte) error
	AccountHeld(account mail.Address) (reason string, held bool)
	Get(ctx context.Context, id mail.ID) (spool.Entry, error)
	Redirect(ctx context.Context, e spool.Entry, to spool.Spawned, now time.Time, facts [][]byte) error
	Shown(t time.Time) time.Time
	OpenBody(ctx context.Context, id mail.ID) (io.ReadCloser, error)
	NewBody(ctx context.Context) (*spool.Body, error)
	Watch() <-chan struct{}
}

// Limits bounds what is under way at once, and says how long to wait for what.
type Limits struct {
	Active          int           // messages claimed and in memory
	ActiveOctets    int64         // octets of their bodies kept in memory, and again of their envelopes; other bodies are read when needed
	PerDestination  int           // messages waiting for one destination
	Workers         int           // deliveries at once to one destination
	Lease           time.Duration // a claim lives this long, and is extended while its message is under way
	Crowded         time.Duration // how long a message waits at least when its destination's queue is full
	CrowdedMost     time.Duration // and at most
	Idle            time.Duration // the queue is looked at this often at least
	Retry           time.Duration // how long a failing store is left alone
	Suspended       time.Duration // an account that may not send is asked about again after this, before its message is held
	ReturnedHeader  int64         // octets of the original header section in a notification
	ReturnedMessage int64         // octets of the largest message that a notification returns whole (RET=FULL)
	Forwards        int           // messages sent on for accounts in one attempt; the rest follows in the next
	ForwardOctets   int64         // octets of those of them that are not kept in files
	Failing         int           // pairs of account and target whose failures are counted
	BudgetMost      time.Duration // how long mail waits at most for the budget of its forward before it is looked at again
	FailingAlarm    int           // failures one after another that make an alarm
	// Header bounds the header section of a message that is sent on, with what we put
	// before it.
	Header message.Limits
}

// DefaultLimits returns the limits of a server that was told nothing.
func DefaultLimits() Limits {
	return Limits{
		Active: 10_000, ActiveOctets: 64 << 20, PerDestination: 2_000, Workers: 20,
		Lease: 30 * time.Minute, Crowded: 2 * time.Second, CrowdedMost: 10 * time.Minute,
		Idle: time.Minute, Retry: time.Second, Suspended: 2 * time.Second,
		ReturnedHeader: 64 << 10, ReturnedMessage: 1 << 20,
		Forwards: 16, ForwardOctets: 1 << 20, Failing: 4096, FailingAlarm: 3, BudgetMost: 15 * time.Minute,
		Header: message.Limits{HeaderOctets: 1<<20 + 64<<10, Fields: 1000 + 1000, Hops: 50},
	}
}

// ReturnPaths makes the return paths of what leaves, and the marks by which what was sent
// on is known again.
type ReturnPaths interface {
	// Sign signs an envelope sender of an account's message that leaves, by when that was
	// received; false: it leaves as it is.
	Sign(dir *directory.Snapshot, from mail.Address, received time.Time) (mail.Address, bool)
	// Forward makes the return path of a message that an account sends on, by when that
	// was received. On an error it stays in the mailbox.
	Forward(account mail.Address, received time.Time) (mail.Address, error)
	// Mark writes the mark of a message that is sent on, "" for none, and ReadMark says
	// what a mark is worth.
	Mark(m srs.Mark, account mail.Address, messageID string) string
	ReadMark(text string, account mail.Address, messageID string) srs.Mark
}

// Options are everything that dispatch works with; all but Exchangers, Behind, Low,
// Waits and Answered are required.
type Options struct {
	Hostname  mail.Domain
	Queue     Queue
	Directory func() *directory.Snapshot
	// Active reports whether an account may send now; it is asked at every claim,
	// and again before each delivery.
	Active func(account mail.Address) bool
	Local  nexthop.Target
	Route  func(directory.Route) nexthop.Target
	// Behind returns the way to a server of ours that stands behind us; nil: mail for
	// it is held.
	Behind func(directory.Server) nexthop.Target
	// Exchangers returns where mail goes that no route leads to; false, or a nil function:
	// it waits.
	Exchangers func(a mail.Address) (nexthop.Target, bool)
	// Charge begins what a message that a forward sent on takes of the budget of that
	// forward and target, and Allowance is that budget.
	Charge    func(account, target mail.Address) *ledger.Charge
	Allowance func() budget.Limits
	// Holder returns the account whose mailbox was called so when a message came; nil: it is
	// called so still.
	Holder func(mailbox mail.Address, at time.Time) mail.Address
	// Waits says which of the pending deliveries of an account's message may not be tried
	// yet, by place, and for how long; nil: none waits.
	Waits func(ctx context.Context, id mail.ID, pending []spool.RecipientState) (waits map[int]bool, wait time.Duration)
	// Answered is told what other servers said for good of an account's message; nil: nobody
	// asks.
	Answered func(context.Context, Answers)
	// Record writes facts that accompany no other change.
	Record      func(ctx context.Context, facts ...fact.Fact) error
	Policy      sched.Policy // to begin with, as Limits; Adjust replaces them
	ReturnPaths ReturnPaths
	// Low reports whether so many octets more would be too many for the disk: then
	// nothing is sent on, and notifications bring no message back. Nil: never.
	Low    func(octets int64) bool
	Limits Limits
	Now    func() time.Time
	// Passed is the time by which messages wait and are given up, whatever the clock was set to: that of the
	// queue; nil: Now.
	Passed func() time.Time
	Rand   io.Reader
	Logger *slog.Logger
}

// Dispatch moves mail from the spool to its targets. Make it with New, start it
// with Run, and Offer it fresh messages.
type Dispatch struct {
	Options
	set  atomic.Pointer[settings]
	wake chan struct{}
	work sync.WaitGroup
	crew *workers.Crew

	mu       sync.Mutex
	runs     map[*run]struct{} // the messages under way
	entries  int64             // octets that their envelopes take
	bodies   int64             // octets of their bodies in memory
	dests    map[destKey]*destination
	failing  map[string]int  // failures one after another, by account and target of a forward
	starved  bool            // there was no room for more; the end of a run wakes
	ctx      context.Context // of Run: its end cuts deliveries
	stopping chan struct{}   // closed: nothing new is begun
	closed   bool
}

// crewLinger is how long a goroutine that delivered is kept for the next message.
const crewLinger = 2 * time.Second

// New returns a Dispatch that does nothing until Run.
func New(o Options) *Dispatch {
	d := &Dispatch{
		Options: o, wake: make(chan struct{}, 1), runs: map[*run]struct{}{}, dests: map[destKey]*destination{}, failing: map[string]int{},
		ctx: context.Background(), stopping: make(chan struct{}), closed: true, crew: workers.New(crewLinger),
	}
	if d.Passed == nil {
		d.Passed = d.Now
	}
	d.Adjust(o.Policy, o.Limits)
	return d
}

// settings are what Adjust replaces.
type settings struct {
	policy sched.Policy
	limits Limits
}

// Adjust replaces schedule and limits, for what happens from now on; what is under way
// beyond new limits goes on.
func (d *Dispatch) Adjust(p sched.Policy, l Limits) {
	d.set.Store(&settings{p, l})
}

// Bounds returns the schedule and the limits in force.
func (d *Dispatch) Bounds() (sched.Policy, Limits) {
	s := d.set.Load()
	return s.policy, s.limits
}

func (d *Dispatch) bounds() *Limits { return &d.set.Load().limits }

// Offer takes a message that was just accepted, with its first claim, so that it
// need not be read back. It does not wait for deliveries: what does not fit waits
// in the store, as does what comes without a claim.
func (d *Dispatch) Offer(c spool.Claim) {
	if !c.Entry.ID.IsZero() {
		d.take(c)
	}
}

// Serve is Run, with deliveries under way cut when grace has passed after the end of ctx;
// what is cut stays queued.
func (d *Dispatch) Serve(ctx context.Context, grace func() time.Duration) error {
	hard, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-finished:
			return
		case <-ctx.Done():
		}
		select {
		case <-finished:
		case <-time.After(grace()):
			cut()
		}
	}()
	return d.Run(ctx, hard)
}

// Run claims what is due until ctx ends, then waits for the deliveries under way;
// those have until hard ends, which cuts their connections. What waited for its
// turn goes back to the store. Run is called once.
func (d *Dispatch) Run(ctx, hard context.Context) error {
	d.mu.Lock()
	d.ctx, d.closed = hard, false
	d.mu.Unlock()
	leases := make(chan struct{})
	defer close(leases)
	go d.keepLeases(leases)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			d.drain()
			return nil
		case <-timer.C:
		case <-d.wake:
		case <-d.Queue.Watch():
		}
		timer.Reset(d.claimDue(ctx))
	}
}

// drain refuses new work and waits for what is under way.
func (d *Dispatch) drain() {
	d.mu.Lock()
	d.closed = true
	close(d.stopping)
	d.mu.Unlock()
	d.work.Wait()
	d.crew.Close()
}

// leastTick is the shortest time between two looks at the claims, however short a lease is.
const leastTick = time.Millisecond

// keepLeases extends the claims of all messages under way, so that none of them is
// claimed a second time while it waits for a slow destination.
func (d *Dispatch) keepLeases(done <-chan struct{}) {
	tick := time.NewTicker(max(d.bounds().Lease/3, leastTick))
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		for _, r := range d.underWay() {
			// A claim that has ended is noticed before its delivery, and at its end.
			_ = d.Queue.Extend(r.claim.Token, d.bounds().Lease, d.Passed())
		}
	}
}

func (d *Dispatch) underWay() []*run {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]*run, 0, len(d.runs))
	for r := range d.runs {
		out = append(out, r)
	}
	return out
}

// pause waits and reports true, or reports false as soon as deliveries are cut.
func (d *Dispatch) pause(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-d.cutting().Done():
		return false
	case <-timer.C:
		return true
	}
}

// cutting is the context that ends when deliveries are cut.
func (d *Dispatch) cutting() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ctx
}

// durable is the context of what must be recorded although deliveries were cut.
func (d *Dispatch) durable() context.Context { return context.WithoutCancel(d.cutting()) }
