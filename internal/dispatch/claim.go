package dispatch

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

const (
	// claimBatch is the most entries that are looked up and claimed in one go.
	claimBatch = 1000
	// shortestWait keeps the loop from spinning over an entry that is just being
	// settled.
	shortestWait = 10 * time.Millisecond
	// recipientOctets is what one recipient of a message takes in memory, about.
	recipientOctets = 512
)

// claimDue claims what is due and has room, and returns when to look again.
func (d *Dispatch) claimDue(ctx context.Context) time.Duration {
	now := d.Passed()
	room := d.room()
	if room == 0 {
		return d.bounds().Idle // finishing work wakes us
	}
	due, err := d.Queue.Due(ctx, now, room)
	if err != nil {
		d.Logger.Warn("the queue could not be read", "err", err)
		return d.bounds().Retry
	}
	var failed error
	for _, e := range due {
		if ctx.Err() != nil {
			return 0
		}
		if err := d.claim(ctx, e.ID, now); err != nil {
			failed = err
		}
	}
	switch {
	case failed != nil:
		d.Logger.Warn("messages could not be claimed", "err", failed)
		return d.bounds().Retry
	case len(due) == room:
		return 0
	}
	return d.untilNext(ctx, now)
}

func (d *Dispatch) untilNext(ctx context.Context, now time.Time) time.Duration {
	next, ok, err := d.Queue.NextDue(ctx)
	if err != nil {
		return d.bounds().Retry
	}
	if !ok {
		return d.bounds().Idle
	}
	return min(max(next.Sub(now), shortestWait), d.bounds().Idle)
}

// claim claims one entry and begins its run. The error is one that the next entry
// is likely to meet as well.
func (d *Dispatch) claim(ctx context.Context, id mail.ID, now time.Time) error {
	c, err := d.Queue.Claim(ctx, id, "dispatch", d.bounds().Lease, now)
	switch {
	case err == nil:
		d.take(c)
		return nil
	case errors.Is(err, spool.ErrClaimed), errors.Is(err, spool.ErrHeld), errors.Is(err, spool.ErrNotFound),
		errors.Is(err, spool.ErrDamaged), errors.Is(err, spool.ErrNoGrant):
		// Somebody else settled or claimed it, or the spool set it aside.
		d.Logger.Debug("not claimed", "queue", id.String(), "err", err)
		return nil
	}
	return err
}

// take begins the run of a claimed message, or gives the claim back.
func (d *Dispatch) take(c spool.Claim) {
	r, ok, wait := d.begin(c)
	if !ok {
		d.postpone(c, wait)
		return
	}
	d.start(r)
}

// begin counts a run in. Where bodies take too much memory, this one's is read
// when it is needed. When there is no room at all, wait says for how long.
func (d *Dispatch) begin(c spool.Claim) (r *run, ok bool, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, false, 0
	}
	cost := int64(len(c.Entry.Prefix) + recipientOctets*len(c.Entry.Recipients))
	// One message is always admitted, however many recipients it has.
	if len(d.runs) >= d.bounds().Active || len(d.runs) > 0 && d.entries+cost > d.bounds().ActiveOctets {
		return nil, false, d.bounds().Crowded
	}
	if d.bodies+int64(len(c.Body)) > d.bounds().ActiveOctets {
		c.Body = nil
	}
	r = &run{claim: c, pending: c.Entry.Pending(), cost: cost}
	d.runs[r] = struct{}{}
	d.entries += cost
	d.bodies += int64(len(c.Body))
	d.work.Add(1)
	return r, true, 0
}

// end counts a run out; whoever ends a run calls it last, once.
func (d *Dispatch) end(r *run) {
	d.account(r)
	d.mu.Lock()
	delete(d.runs, r)
	d.entries -= r.cost
	d.bodies -= int64(len(r.claim.Body))
	wake := d.starved && len(d.runs) <= d.bounds().Active/2 && d.entries <= d.bounds().ActiveOctets/2
	if wake {
		d.starved = false
	}
	d.mu.Unlock()
	d.work.Done()
	if wake {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// room returns how many more may be claimed now.
func (d *Dispatch) room() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(d.bounds().Active-len(d.runs), claimBatch)
	// Near the bound, what is claimed would often have to be given back.
	if n <= 0 || d.entries > d.bounds().ActiveOctets/8*7 {
		d.starved = true
		return 0
	}
	return n
}

// postpone gives a claim back untried.
func (d *Dispatch) postpone(c spool.Claim, wait time.Duration, facts ...fact.Fact) {
	err := d.Queue.Postpone(d.durable(), c.Token, d.Passed().Add(wait), fact.EncodeAll(facts...))
	switch {
	case err == nil:
	case errors.Is(err, spool.ErrStale):
		d.Logger.Debug("the claim had ended", "queue", c.Entry.ID.String())
	default:
		d.Logger.Warn("a claim could not be given back; its lease ends by itself", "queue", c.Entry.ID.String(), "err", err)
	}
}
