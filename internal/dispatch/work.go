package dispatch

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"sallyport/internal/deliver"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/trace"
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
}

// run is one claimed message on its way; it settles when its last group ends.
type run struct {
	claim   spool.Claim
	pending []spool.RecipientState
	plan    plan
	mu      sync.Mutex
	left    int
}

// start plans a claimed message and queues its groups, all or none: when a
// destination's queue is full, the message waits in the store for a while.
func (d *Dispatch) start(c spool.Claim) {
	r := &run{claim: c, pending: c.Entry.Pending()}
	p := planner{dir: d.Directory(), active: d.Active, local: d.Local, route: d.Route}
	r.plan = p.plan(c.Entry, r.pending)
	if r.plan.hold != "" {
		d.hold(r)
		return
	}
	r.left = len(r.plan.groups)
	if r.left == 0 {
		d.settle(r)
		return
	}
	if wait := d.enqueue(r); wait > 0 {
		d.postpone(d.ctx, c, d.Now().Add(wait))
		d.end(c)
	}
}

// enqueue queues every group of r and starts workers where there are too few. When
// one destination has no room it queues nothing and returns how long to wait: the
// longer, the more messages were turned away since that queue was last empty, so
// that a crowd does not go round and round.
func (d *Dispatch) enqueue(r *run) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range r.plan.groups {
		if dest := d.dests[g.key]; dest != nil && len(dest.waiting) >= d.Limits.PerDestination {
			dest.turnedAway++
			return d.Limits.Crowded * time.Duration(1+dest.turnedAway/d.Limits.PerDestination)
		}
	}
	for _, g := range r.plan.groups {
		dest := d.dests[g.key]
		if dest == nil {
			dest = &destination{}
			d.dests[g.key] = dest
		}
		dest.waiting = append(dest.waiting, &task{run: r, group: g})
		if dest.running < d.Limits.Workers {
			dest.running++
			go d.serve(g.key, dest)
		}
	}
	return 0
}

// serve works a destination's queue until it is empty, then goes away.
func (d *Dispatch) serve(key destKey, dest *destination) {
	for {
		d.mu.Lock()
		if len(dest.waiting) == 0 {
			dest.running--
			if dest.running == 0 {
				delete(d.dests, key)
			}
			d.mu.Unlock()
			return
		}
		t := dest.waiting[0]
		dest.waiting[0] = nil
		dest.waiting = dest.waiting[1:]
		ctx := d.ctx
		d.mu.Unlock()
		d.finish(t, t.group.target.Deliver(ctx, d.job(t)))
	}
}

func (d *Dispatch) job(t *task) deliver.Job {
	e := t.run.claim.Entry
	return deliver.Job{
		ID: e.ID, Envelope: e.Envelope, Recipients: t.group.to, Prefix: e.Prefix,
		Size: int64(len(e.Prefix)) + e.Size, Received: e.Received, Attempt: e.Attempts,
		Open: func() (io.ReadCloser, error) { return d.open(t.run.claim) },
	}
}

// open returns the message as it leaves: our trace fields, then the body.
func (d *Dispatch) open(c spool.Claim) (io.ReadCloser, error) {
	if c.Body != nil {
		return io.NopCloser(io.MultiReader(bytes.NewReader(c.Entry.Prefix), bytes.NewReader(c.Body))), nil
	}
	body, err := d.Queue.OpenBody(d.ctx, c.Entry.ID)
	if err != nil {
		return nil, err
	}
	return prefixed{io.MultiReader(bytes.NewReader(c.Entry.Prefix), body), body}, nil
}

type prefixed struct {
	io.Reader
	io.Closer
}

// finish notes a group's outcomes and settles the message after its last group. A
// target that returned the wrong number of outcomes has delivered nothing that
// counts.
func (d *Dispatch) finish(t *task, outcomes []mail.Outcome) {
	r := t.run
	r.mu.Lock()
	for i, place := range t.group.index {
		if len(outcomes) == len(t.group.index) {
			r.plan.outcomes[place] = outcomes[i]
		} else {
			r.plan.outcomes[place] = mail.Outcome{Recipient: t.group.to[i].Address, Remote: "sallyport", Reply: mail.R(451, "4.3.0", "the delivery reported nothing")}
		}
	}
	r.left--
	last := r.left == 0
	r.mu.Unlock()
	if last {
		d.settle(r)
	}
}

// hold keeps a message that may not leave, with the reason.
func (d *Dispatch) hold(r *run) {
	defer d.end(r.claim)
	f := d.fact(trace.KindHold, r.claim.Entry)
	f.Rule, f.Text = "dispatch-hold", r.plan.hold
	if err := d.Queue.HoldClaimed(context.WithoutCancel(d.ctx), r.claim.Token, r.plan.hold, [][]byte{f.Encode()}); err != nil {
		d.Logger.Error("a message could not be held; it stays unsent", "queue", r.claim.Entry.ID.String(), "err", err)
	}
}
