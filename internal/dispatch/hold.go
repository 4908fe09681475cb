package dispatch

import (
	"time"

	"sallyport/internal/fact"
)

// suspend keeps a message whose account may not send. A freeze is one act in the store,
// but the account's standing and the hold of its queue are seen one after the other, so
// the second is waited for: then the next claim sets the message aside, and the account's
// release brings it back.
// Where nobody holds the queue (the account is gone), the message itself is held.
func (d *Dispatch) suspend(r *run) {
	timer := time.NewTimer(d.bounds().Suspended)
	defer timer.Stop()
	select {
	case <-d.stopping:
	case <-timer.C:
	}
	a := r.claim.Account()
	_, held := d.Queue.AccountHeld(a)
	if held || d.Active(a) || d.stopped() {
		d.postpone(r.claim, 0)
		d.end(r)
		return
	}
	d.hold(r, "the account "+a.String()+" may not send")
}

func (d *Dispatch) stopped() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// hold keeps a message that may not leave, with the reason, and ends its run.
func (d *Dispatch) hold(r *run, reason string) {
	defer d.end(r)
	f := fact.Held{At: d.Now(), Rule: RuleDispatchHold, Message: messageOf(r.claim.Entry), Reason: reason}
	d.Logger.Warn("message held", "queue", r.claim.Entry.ID.String(), "reason", reason)
	if err := d.Queue.HoldClaimed(d.durable(), r.claim.Token, reason, fact.EncodeAll(f.Fact())); err != nil {
		d.Logger.Error("a message could not be held; it stays unsent", "queue", r.claim.Entry.ID.String(), "err", err)
	}
}
