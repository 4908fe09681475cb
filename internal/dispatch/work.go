package dispatch

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/spool"
)

// destination is one destination's queue and workers. Its fields are guarded by
// Dispatch.mu.
type destination struct {
	waiting    []*task
	running    int
	turnedAway int
}

// task is one group of one message on its way.
type task struct {
	run   *run
	group group
	// withdrawn says why the target was not given the message after all; guarded by
	// run.mu.
	withdrawn halt
}

// run is one claimed message on its way; it settles when its last group ends.
type run struct {
	claim   spool.Claim
	pending []spool.RecipientState
	cost    int64               // octets that the envelope takes
	dir     *directory.Snapshot // that the plan was made by
	sender  mail.ReversePath    // with which it leaves this server
	charges map[int]charge      // what it takes of a forward's budget, by place
	wait    time.Duration       // how long those wait who find nothing of it left; 0: nobody does
	alarms  []fact.Fact         // that they wait

	mu      sync.Mutex
	plan    plan
	left    int
	halt    halt
	leaving map[*letter.Departure]bool
}

// halt says why groups of a run were not tried. The zero halt is none.
type halt uint8

const (
	haltNone      halt = iota
	haltMoved          // it leads elsewhere by now
	haltStopping       // the server stops
	haltSuspended      // the account may not send any more
	haltStale          // the claim is no longer ours: the message was removed, or claimed again
)

// start plans a claimed message and queues its groups. When every destination's
// queue is full, the message waits in the store for a while; when only some are,
// the others get theirs, and the next try is for the rest.
func (d *Dispatch) start(r *run) {
	if !d.maySend(r) {
		go d.suspend(r)
		return
	}
	if len(r.pending) == 0 { // what is left of it is for a person to decide
		go d.hold(r, "nobody is left to try, and nobody was told")
		return
	}
	p := d.planner()
	e := r.claim.Entry
	p.most, p.had, p.low = d.mostForwards(e), boxesWith(e), d.low(e.Size)
	if !d.anyForward(e, p.dir, r.pending) {
		d.launch(r, p)
		return
	}
	// Whether mail is sent on depends on its header, which may have to be read.
	go func() {
		p.forwards = d.forwards(r, p.dir)
		d.launch(r, p)
	}()
}

// low reports whether the disk has no room for so many octets of content.
func (d *Dispatch) low(octets int64) bool { return d.Low != nil && d.Low(octets) }

// launch queues the groups of a plan.
func (d *Dispatch) launch(r *run, p planner) {
	p.waits, r.alarms = d.afford(r)
	r.dir, r.plan, r.sender = p.dir, p.plan(r.pending), d.signed(r.claim.Entry)
	switch {
	case r.plan.hold != "":
		go d.hold(r, r.plan.hold)
	case len(r.plan.groups) == 0 && r.wait > 0 && !slices.Contains(r.plan.spoken, true):
		d.putOff(r, r.wait)
	case len(r.plan.groups) == 0:
		go d.settle(r)
	default:
		if wait := d.enqueue(r); wait > 0 {
			d.putOff(r, wait)
		}
	}
}

// putOff gives back a message that was not tried, and ends its run.
func (d *Dispatch) putOff(r *run, wait time.Duration) {
	d.postpone(r.claim, wait, r.alarms...)
	d.end(r)
}

// maySend reports whether the account behind a message may send at this moment;
// strangers' mail and notifications have none.
func (d *Dispatch) maySend(r *run) bool {
	a := r.claim.Account()
	if a.IsZero() {
		return true
	}
	_, held := d.Queue.AccountHeld(a)
	return !held && d.Active(a)
}

// enqueue queues the groups of r whose destinations have room, and starts workers
// where there are too few. When none has, it queues nothing and returns how long to
// wait.
func (d *Dispatch) enqueue(r *run) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	var room []group
	var wait time.Duration
	for _, g := range r.plan.groups {
		if dest := d.dests[g.key]; dest != nil && dest.load() >= d.share() {
			wait = max(wait, d.turnAway(dest))
			continue
		}
		room = append(room, g)
	}
	if len(room) == 0 {
		return wait
	}
	r.left = len(room)
	for _, g := range room {
		dest := d.dests[g.key]
		if dest == nil {
			dest = &destination{}
			d.dests[g.key] = dest
		}
		dest.waiting = append(dest.waiting, &task{run: r, group: g})
		if dest.running < d.bounds().Workers {
			// It is given its task here: no message counts as waiting and as being
			// delivered at once.
			dest.running++
			first := dest.pop()
			d.crew.Go(func() { d.serve(g.key, dest, first) })
		}
	}
	return 0
}

// shareOfFree is the part of the free room that one destination may take: a quarter.
// One crowded destination then comes to a fifth of all the room; a thousand of them
// together leave one place in 250 to those that are not.
const shareOfFree = 4

// share returns how many messages one destination may have under way now: a part of
// the room that is still free, so that no number of crowded destinations takes all
// of it, and one that is not crowded always finds some.
func (d *Dispatch) share() int {
	free := d.bounds().Active - len(d.runs)
	return max(1, min(d.bounds().PerDestination+d.bounds().Workers, free/shareOfFree))
}

// load is how many messages a destination has under way; each worker has one.
func (dest *destination) load() int { return dest.running + len(dest.waiting) }

// pop takes the first task off the queue, which is not empty.
func (dest *destination) pop() *task {
	t := dest.waiting[0]
	dest.waiting[0] = nil
	dest.waiting = dest.waiting[1:]
	return t
}

// turnAway returns how long to wait for a destination without room: the longer, the
// more messages were turned away since that queue was last empty, so that a crowd
// does not go round and round.
func (d *Dispatch) turnAway(dest *destination) time.Duration {
	dest.turnedAway++
	return min(d.bounds().Crowded*time.Duration(1+dest.turnedAway/max(1, dest.load())), d.bounds().CrowdedMost)
}

// serve works on a task and then on a destination's queue until it is empty, then goes
// away.
func (d *Dispatch) serve(key destKey, dest *destination, t *task) {
	for ; t != nil; t = d.next(key, dest) {
		if h := d.mustHalt(t.run); h != haltNone {
			d.skip(t, h)
			continue
		}
		target, ok := d.targetNow(t)
		if !ok {
			d.skip(t, haltMoved)
			continue
		}
		d.finish(t, d.deliver(t, target))
	}
}

// planner returns a planner for this moment.
func (d *Dispatch) planner() planner {
	return planner{dir: d.Directory(), local: d.Local, route: d.Route, world: d.Exchangers, behind: d.Behind}
}

// targetNow returns where a group goes now that its turn has come; false when it
// leads elsewhere by now, so that the message must be planned again.
func (d *Dispatch) targetNow(t *task) (nexthop.Target, bool) {
	p := d.planner()
	if p.dir == t.run.dir {
		return t.group.target, true
	}
	var target nexthop.Target
	for _, i := range t.group.index {
		g, _ := p.destination(t.run.pending[i])
		if g.key != t.group.key || g.target == nil {
			return nil, false
		}
		target = g.target
	}
	return target, true
}

// next takes the first task off a destination's queue; at its end it takes the
// worker off the destination's books and returns nil.
func (d *Dispatch) next(key destKey, dest *destination) *task {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(dest.waiting) == 0 {
		dest.running--
		if dest.running == 0 {
			delete(d.dests, key)
		}
		return nil
	}
	return dest.pop()
}

// mustHalt asks once more, now that the turn of a message has come, whether it may
// be delivered: it may have waited long.
func (d *Dispatch) mustHalt(r *run) halt {
	switch {
	case d.stopped():
		return haltStopping
	case d.Queue.Extend(r.claim.Token, d.bounds().Lease, d.Passed()) != nil:
		return haltStale
	case !d.maySend(r):
		return haltSuspended
	}
	return haltNone
}

func (d *Dispatch) job(t *task, out *letter.Departure) nexthop.Job {
	e := t.run.claim.Entry
	return letter.Out{
		ID: e.ID, Envelope: e.Envelope, Grant: t.run.claim.Grant, To: t.group.to, Sender: t.run.sender, Prefix: e.Prefix,
		Size: int64(len(e.Prefix)) + e.Size, Received: e.Received, Attempt: e.Attempts, Junk: e.Junk,
		May: func() bool {
			// It may have waited for its turn within the target, too.
			h := d.mustHalt(t.run)
			if h != haltNone {
				t.withdraw(h)
			}
			return h == haltNone
		},
		Open: out.Guard(func() (io.ReadCloser, error) { return d.open(t.run.claim) }),
	}.Job()
}

// departure is the delivery of a task, which is cut when its account may not send any more.
func (d *Dispatch) departure(t *task) *letter.Departure {
	out := letter.Depart(d.cutting(), func() bool {
		may := d.maySend(t.run)
		if !may {
			t.withdraw(haltSuspended)
		}
		return may
	})
	t.run.mu.Lock()
	defer t.run.mu.Unlock()
	if t.run.leaving == nil {
		t.run.leaving = map[*letter.Departure]bool{}
	}
	t.run.leaving[out] = true
	return out
}

// deliver has the target deliver a task.
func (d *Dispatch) deliver(t *task, target nexthop.Target) []mail.Outcome {
	out := d.departure(t)
	defer func() {
		out.End()
		t.run.mu.Lock()
		defer t.run.mu.Unlock()
		delete(t.run.leaving, out)
	}()
	return target.Deliver(out.Context(), d.job(t, out))
}

// Recheck cuts the deliveries under way of an account that may not send any more, but for
// those whose end is on its way. What is cut stays queued.
func (d *Dispatch) Recheck(account mail.Address) {
	for _, r := range d.underWay() {
		if r.claim.Account() != account {
			continue
		}
		r.mu.Lock()
		all := slices.Collect(maps.Keys(r.leaving))
		r.mu.Unlock()
		for _, out := range all {
			out.Recheck()
		}
	}
}

// withdraw notes that the message was kept from the task's target at the last moment.
func (t *task) withdraw(h halt) {
	t.run.mu.Lock()
	defer t.run.mu.Unlock()
	t.withdrawn = max(t.withdrawn, h)
	t.run.halt = max(t.run.halt, h)
}

// open returns the message as it leaves: our trace fields, then the body.
func (d *Dispatch) open(c spool.Claim) (io.ReadCloser, error) {
	if c.Body != nil {
		return io.NopCloser(io.MultiReader(bytes.NewReader(c.Entry.Prefix), bytes.NewReader(c.Body))), nil
	}
	body, err := d.Queue.OpenBody(d.durable(), c.Entry.ID)
	if err != nil {
		return nil, err
	}
	return prefixed{io.MultiReader(bytes.NewReader(c.Entry.Prefix), body), body}, nil
}

type prefixed struct {
	io.Reader
	io.Closer
}

// finish notes a group's outcomes. A target that returned the wrong number of them
// has delivered nothing that counts, and whom an outcome is about is never the
// target's to say. A deferral of what was withdrawn says nothing about anybody: it
// was not tried.
func (d *Dispatch) finish(t *task, outcomes []mail.Outcome) {
	r := t.run
	r.mu.Lock()
	for i, place := range t.group.index {
		o := mail.Outcome{Remote: ourName, Reply: mail.R(451, "4.3.0", "the delivery reported nothing")}
		if len(outcomes) == len(t.group.index) {
			o = outcomes[i]
		}
		if t.withdrawn != haltNone && o.Deferred() {
			continue
		}
		o.Recipient = t.group.to[i].Address
		r.plan.outcomes[place], r.plan.spoken[place] = o, true
	}
	r.mu.Unlock()
	d.groupDone(r)
}

// skip leaves a group untried.
func (d *Dispatch) skip(t *task, h halt) {
	r := t.run
	r.mu.Lock()
	r.halt = max(r.halt, h)
	r.mu.Unlock()
	d.groupDone(r)
}

// groupDone settles the message after its last group.
func (d *Dispatch) groupDone(r *run) {
	r.mu.Lock()
	r.left--
	last := r.left == 0
	r.mu.Unlock()
	if last {
		d.settle(r)
	}
}
