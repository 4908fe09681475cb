package dispatch

import (
	"context"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/trace"
)

// settle ends an attempt: results, next try and notification in one update.
func (d *Dispatch) settle(r *run) {
	defer d.end(r.claim)
	now := d.Now()
	e := r.claim.Entry
	// A delivery that our own stopping cut short says nothing about the recipient.
	if d.ctx.Err() != nil && allDeferred(r.plan.outcomes) {
		d.postpone(context.WithoutCancel(d.ctx), r.claim, now)
		return
	}
	outcomes := r.plan.outcomes
	if d.Policy.Expired(e.Received, now) {
		outcomes = expire(outcomes)
	}
	facts := d.outcomeFacts(e, r.pending, outcomes)
	if d.strangers(e) && anyFailed(outcomes) {
		d.keepForPostmaster(r, outcomes, facts)
		return
	}
	final := spool.Final{Facts: facts}
	note, err := d.notification(d.ctx, r.claim, r.pending, outcomes, now)
	if err != nil {
		// Without its notification a failure must not become final.
		d.Logger.Error("no notification could be made; the message stays queued", "queue", e.ID.String(), "err", err)
		d.postpone(context.WithoutCancel(d.ctx), r.claim, now.Add(d.Limits.Idle))
		return
	}
	if note != nil {
		final.Notify = &note.Notification
		final.Facts = append(final.Facts, note.fact.Encode())
		defer func() { _ = note.Body.Abort() }() // does nothing once Settle took it
	}
	if _, err := d.Queue.Settle(context.WithoutCancel(d.ctx), r.claim.Token, outcomes, now, final); err != nil {
		d.Logger.Error("a delivery could not be settled and will be repeated", "queue", e.ID.String(), "err", err)
	}
}

// strangers reports whether nobody here stands behind the message: then no
// notification is possible without writing to an innocent. Promise 5.
func (d *Dispatch) strangers(e spool.Entry) bool {
	return e.Account.IsZero() && !e.Envelope.From.IsNull()
}

// keepForPostmaster holds a stranger's message that can't be delivered after its
// 250, for the administrator to decide: it is neither bounced nor dropped.
func (d *Dispatch) keepForPostmaster(r *run, outcomes []mail.Outcome, facts [][]byte) {
	e := r.claim.Entry
	reason := "could not be delivered after acceptance"
	for _, o := range outcomes {
		if o.Failed() {
			reason += ": " + o.Recipient.String() + ": " + o.Reply.String()
			break
		}
	}
	f := d.fact(trace.KindHold, e)
	f.Rule, f.Text = "undeliverable-stranger", reason
	d.Logger.Warn("message held", "queue", e.ID.String(), "reason", reason)
	err := d.Queue.HoldClaimed(context.WithoutCancel(d.ctx), r.claim.Token, reason, append(facts, f.Encode()))
	if err != nil {
		d.Logger.Error("a message could not be held", "queue", e.ID.String(), "err", err)
	}
}

// expire turns what is still deferred into a failure. RFC 5321 §4.5.4.1.
func expire(outcomes []mail.Outcome) []mail.Outcome {
	out := make([]mail.Outcome, len(outcomes))
	for i, o := range outcomes {
		if o.Deferred() {
			o.Reply = mail.R(554, "5.4.7", "delivery time expired; the last answer was: "+o.Reply.String())
		}
		out[i] = o
	}
	return out
}

func allDeferred(outcomes []mail.Outcome) bool {
	for _, o := range outcomes {
		if !o.Deferred() {
			return false
		}
	}
	return true
}

func anyFailed(outcomes []mail.Outcome) bool {
	for _, o := range outcomes {
		if o.Failed() {
			return true
		}
	}
	return false
}

// outcomeFacts writes one fact for each distinct answer of each remote, with the
// recipients that it was about.
func (d *Dispatch) outcomeFacts(e spool.Entry, pending []spool.RecipientState, outcomes []mail.Outcome) [][]byte {
	type answer struct {
		remote, tls string
		reply       mail.Reply
	}
	var order []answer
	about := map[answer][]string{}
	for i, o := range outcomes {
		a := answer{o.Remote, o.TLS, o.Reply}
		if about[a] == nil {
			order = append(order, a)
		}
		name := o.Recipient.String()
		if box := pending[i].Mailbox; !box.IsZero() && box.Key() != o.Recipient.Key() {
			name += " (" + box.String() + ")"
		}
		about[a] = append(about[a], name)
	}
	facts := make([][]byte, 0, len(order)+1)
	for _, a := range order {
		f := d.fact(trace.KindOutcome, e)
		f.Recipients, f.Remote, f.TLS, f.Reply = about[a], a.remote, a.tls, a.reply
		f.Rule, f.Count = ruleOf(a.reply), e.Attempts
		if f.Rule == ruleDeferred {
			f.Text = "next try " + e.NextTry.UTC().Format(time.RFC3339)
		}
		facts = append(facts, trace.EncodeAll(f)...)
	}
	return facts
}

// The rules of outcomes: what an answer means for the recipient. RFC 5321 §4.2.1.
const (
	ruleDelivered = "delivered"
	ruleDeferred  = "deferred"
	ruleFailed    = "failed"
)

func ruleOf(r mail.Reply) string {
	o := mail.Outcome{Reply: r}
	switch {
	case o.Delivered():
		return ruleDelivered
	case o.Failed():
		return ruleFailed
	}
	return ruleDeferred
}

func (d *Dispatch) fact(k trace.Kind, e spool.Entry) trace.Fact {
	f := trace.Fact{At: d.Now(), Kind: k, Queue: e.ID, MessageID: e.MessageID, Account: e.Account.String(), Sender: e.Envelope.From.String(), Size: e.Size}
	return f
}
