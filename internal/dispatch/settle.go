package dispatch

import (
	"errors"
	"slices"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// attempt is what an attempt came to: recipients and their outcomes, side by side.
// Whoever is not among them was not tried and stays pending.
type attempt struct {
	states   []spool.RecipientState
	outcomes []mail.Outcome
	on       []sendOn         // how each is carried on, if its account forwards
	sender   mail.ReversePath // with which it left this server, where it left
}

// attempt gathers the outcomes of a run. When deliveries were cut, what was
// deferred says nothing about the recipient: it was not tried.
func (r *run) attempt(cut bool) attempt {
	a := attempt{sender: r.sender}
	for i, o := range r.plan.outcomes {
		if !r.plan.spoken[i] || cut && o.Deferred() {
			continue
		}
		// Of a recipient who is several mailboxes, some may not have been tried.
		o.Mailbox = r.pending[i].Mailbox
		a.states = append(a.states, r.pending[i])
		a.outcomes = append(a.outcomes, o)
		a.on = append(a.on, r.plan.forwards[i])
	}
	return a
}

// settle ends an attempt: results, next try and notification in one update.
func (d *Dispatch) settle(r *run) {
	e := r.claim.Entry
	a := r.attempt(d.cutting().Err() != nil)
	switch {
	case r.halt == haltStale:
		d.Logger.Info("a message was taken away while it waited", "queue", e.ID.String())
		d.answered(r.claim, a) // as far as it had come
		d.tooLate(r.claim, a)
		d.end(r)
	case len(a.outcomes) == 0 && r.halt == haltSuspended:
		go d.suspend(r)
	case len(a.outcomes) == 0:
		d.postpone(r.claim, 0)
		d.end(r)
	default:
		d.answered(r.claim, a) // what expires below nobody has said
		// What was cut is not among the outcomes: it can't expire by that.
		if d.set.Load().policy.Expired(e.Since, d.Passed()) {
			a.outcomes = expire(a.outcomes)
		}
		c := d.judge(e, a, len(a.outcomes) < len(r.pending))
		c.alarms = append(c.alarms, r.alarms...)
		d.conclude(r, c)
	}
}

// conclusion is what is to be recorded of an attempt.
type conclusion struct {
	attempt
	reports []report      // what the sender is told, or the account whose forward it is
	to      letter.Judged // the mailboxes where that is told, if anywhere
	rule    string        // why the message is to be held now; "" if it is not
	reason  string        // the same in words
	untold  string        // who fails now without anybody being told; "" for nobody
	alarms  []fact.Fact
}

// reachable reports whether there is a mailbox in which it can be told.
func (c conclusion) reachable() bool { return len(c.to.Class.Mailboxes) > 0 }

// judge decides what becomes of the outcomes. Of some failures nobody can be told
// without writing to an innocent: they are not tried again, and stay in the queue beside
// what is; when nothing else is, the message is held for the administrator, who decides.
// Promise 5.
func (d *Dispatch) judge(e spool.Entry, a attempt, more bool) conclusion {
	c := conclusion{attempt: a, alarms: d.countFailures(e, a)}
	fail := slices.IndexFunc(a.outcomes, mail.Outcome.Failed)
	if to, ok := addressee(e); ok {
		late := !e.Warned && e.Forward == spool.ForwardNone && d.set.Load().policy.Late(e.Since, d.Passed())
		c.reports, c.to = wanted(a.states, a.outcomes, late), d.verified(e, to)
	}
	untold := slices.ContainsFunc(c.reports, report.failed) && !c.reachable()
	switch {
	case fail >= 0 && e.Account.IsZero(), untold:
		c.rule = untoldRule(e)
	}
	if !c.reachable() {
		c.reports = nil
	}
	if c.rule != "" {
		c.untold = undelivered(a.outcomes[fail].Recipient, a.outcomes[fail].Reply)
	}
	waits := more || slices.ContainsFunc(a.outcomes, mail.Outcome.Deferred)
	before := e.Untold()
	switch {
	case waits:
		c.rule = ""
	case c.rule == "" && len(before) > 0:
		// The others are done, and leave one behind that an earlier attempt settled.
		c.rule, c.reason = untoldRule(e), undelivered(before[0].Recipient.Address, before[0].Last)
	default:
		c.reason = c.untold
	}
	return c
}

func undelivered(to mail.Address, r mail.Reply) string {
	return "could not be delivered after acceptance: " + to.String() + ": " + r.String()
}

// untoldRule names why nobody may be told of a message's failures.
func untoldRule(e spool.Entry) string {
	if e.Account.IsZero() {
		return RuleStranger
	}
	return RuleUnverified
}

// conclude records an attempt and ends its run. While the store fails, what is
// known waits in memory, where the limits count it.
func (d *Dispatch) conclude(r *run, c conclusion) {
	err := d.record(r, c)
	if !errors.Is(err, spool.ErrUnavailable) {
		d.concluded(r, c.attempt, err)
		return
	}
	if !errors.Is(err, spool.ErrLow) {
		d.Logger.Warn("an attempt cannot be recorded yet", "queue", r.claim.Entry.ID.String(), "err", err)
	}
	go func() {
		for errors.Is(err, spool.ErrUnavailable) && d.pause(d.bounds().Retry) {
			err = d.record(r, c)
		}
		d.concluded(r, c.attempt, err)
	}()
}

func (d *Dispatch) concluded(r *run, a attempt, err error) {
	switch {
	case errors.Is(err, spool.ErrStale):
		d.Logger.Info("a message was taken away during its attempt", "queue", r.claim.Entry.ID.String())
		d.tooLate(r.claim, a)
	case err != nil:
		d.Logger.Error("an attempt could not be recorded and may be repeated", "queue", r.claim.Entry.ID.String(), "err", err)
	}
	d.end(r)
}

// tooLate records what was delivered or answered for a message that nobody has in the queue any more: an operator removed
// it during its attempt, or the claim had ended. The queue has nothing to settle, and the trace would tell
// that nobody got it.
func (d *Dispatch) tooLate(c spool.Claim, a attempt) {
	var said attempt
	said.sender = a.sender
	for i, o := range a.outcomes {
		if o.Delivered() || o.Said {
			said.states, said.outcomes = append(said.states, a.states[i]), append(said.outcomes, o)
		}
	}
	var facts []fact.Fact
	for _, o := range d.outcomesOf(c, said) {
		o.Note = "it had been taken out of the queue meanwhile"
		facts = append(facts, o.Fact())
	}
	if len(facts) == 0 {
		return
	}
	if err := d.Record(d.durable(), facts...); err != nil {
		d.Logger.Error("what became of a message that was taken away is not in the trace", "queue", c.Entry.ID.String(), "err", err)
	}
}

// record writes what an attempt came to. It may be repeated.
func (d *Dispatch) record(r *run, c conclusion) error {
	l, err := d.sendAll(r.claim, c.attempt)
	defer l.abort() // does nothing once Settle took them
	if errors.Is(err, errWithheld) {
		return d.recordWithout(r, c, RuleKeptHeld)
	}
	if err != nil {
		return err
	}
	whole := c
	whole.attempt = l.named(c.attempt)
	err = d.recordWith(r, whole, l)
	switch {
	case len(l.messages) == 0:
		return err
	case errors.Is(err, spool.ErrHeld):
		return d.recordWithout(r, c, RuleKeptHeld)
	case errors.Is(err, spool.ErrFull):
		return d.recordWithout(r, c, RuleKeptFull)
	}
	return err
}

// recordWithout records what does not depend on sending anything on. What was to leave
// alone was not tried: the next attempt finds why it can't, and delivers it here.
func (d *Dispatch) recordWithout(r *run, c conclusion, rule string) error {
	c.attempt = c.stay(rule)
	if len(c.outcomes) == 0 {
		return d.Queue.Postpone(d.durable(), r.claim.Token, d.Passed().Add(d.bounds().Crowded), nil)
	}
	return d.recordWith(r, c, leaving{})
}

// recordWith records an attempt together with what is sent on.
func (d *Dispatch) recordWith(r *run, c conclusion, l leaving) error {
	e := r.claim.Entry
	final := spool.Final{Facts: d.outcomeFacts(r.claim, c.attempt), Spawn: l.messages}
	final.Facts = append(final.Facts, fact.EncodeAll(l.facts...)...)
	final.Facts = append(final.Facts, fact.EncodeAll(d.stayFacts(e, c.attempt)...)...)
	final.Facts = append(final.Facts, fact.EncodeAll(c.alarms...)...)
	if r.plan.more {
		final.Next = d.Passed()
	} else if r.wait > 0 && !slices.ContainsFunc(c.outcomes, mail.Outcome.Deferred) {
		final.Next = d.Passed().Add(r.wait) // nobody is left but who waits for a budget
	}
	if c.untold != "" {
		final.Untold = true
		d.Logger.Warn("a recipient fails and nobody can be told", "queue", e.ID.String(), "held", c.rule != "", "reason", c.untold)
	}
	if c.rule != "" {
		f := fact.Held{At: d.Now(), Rule: c.rule, Message: messageOf(e), Reason: c.reason}
		final.Hold, final.Facts = c.reason, append(final.Facts, fact.EncodeAll(f.Fact())...)
	}
	return d.recordFinal(r, c, final)
}

// recordFinal settles, with the notifications of what became final.
func (d *Dispatch) recordFinal(r *run, c conclusion, final spool.Final) error {
	now := d.Now()
	if len(c.reports) > 0 {
		// Without its notification a failure must not become final.
		told, err := d.tell(r.claim, c, now)
		defer told.abort() // does nothing once Settle took them
		if err != nil {
			return err
		}
		final.Warned = slices.ContainsFunc(c.reports, report.delayed)
		final.Kept = told.brought
		final.Spawn, final.Facts = append(final.Spawn, told.messages...), append(final.Facts, fact.EncodeAll(told.facts...)...)
	}
	_, err := d.Queue.Settle(d.durable(), r.claim.Token, c.outcomes, now, final)
	return err
}

// expire turns what is still deferred into a failure. RFC 5321 §4.5.4.1.
func expire(outcomes []mail.Outcome) []mail.Outcome {
	out := slices.Clone(outcomes)
	for i, o := range out {
		if o.Deferred() {
			out[i].Reply, out[i].Said = mail.R(554, "5.4.7", "delivery time expired; the last answer was: "+o.Reply.String()), false
		}
	}
	return out
}

func (d *Dispatch) outcomeFacts(c spool.Claim, at attempt) [][]byte {
	all := d.outcomesOf(c, at)
	facts := make([][]byte, 0, len(all)+1)
	for _, o := range all {
		facts = append(facts, fact.EncodeAll(o.Fact())...)
	}
	return facts
}

// outcomesOf makes one fact for each distinct answer of each remote, with the
// recipients that it was about.
func (d *Dispatch) outcomesOf(c spool.Claim, at attempt) []fact.Outcome {
	e := c.Entry
	type answer struct {
		remote, tls, policy string
		reply               mail.Reply
		signed              bool
	}
	var order []answer
	about := map[answer][]string{}
	for i, o := range at.outcomes {
		a := answer{o.Remote, o.TLS, o.Policy, o.Reply, at.states[i].Kind == spool.KindOutbound && o.Remote != ourName && at.sender != e.Envelope.From}
		if about[a] == nil {
			order = append(order, a)
		}
		name := o.Recipient.String()
		if box := at.states[i].Mailbox; !box.IsZero() && box.Key() != o.Recipient.Key() {
			name += " (" + box.String() + ")"
		}
		about[a] = append(about[a], name)
	}
	facts := make([]fact.Outcome, 0, len(order))
	for _, a := range order {
		o := fact.Outcome{
			At: d.Now(), Rule: ruleOf(a.reply), Message: messageOf(e), Recipients: about[a],
			Remote: a.remote, TLS: a.tls, Reply: a.reply, Attempt: e.Attempts,
		}
		if o.Rule == fact.RuleFailed && c.Grant.Report() {
			o.Rule = fact.RuleReportFailed
		}
		if a.policy != "" {
			o.Evidence = append(o.Evidence, fact.Pair{Name: "TLS policy", Value: a.policy})
		}
		if a.signed {
			o.Evidence = append(o.Evidence, fact.Pair{Name: fact.EvidenceReturnPath, Value: at.sender.String()})
		}
		if o.Rule == fact.RuleDeferred {
			o.Note = "next try " + d.Queue.Shown(e.NextTry).UTC().Format(time.RFC3339)
		}
		facts = append(facts, o)
	}
	return facts
}

// The rules by which a message is held for the administrator: it failed after its 250,
// and its sender is a stranger, or not proven to be the account's any more.
const (
	RuleStranger   = "undeliverable-stranger"
	RuleUnverified = "undeliverable-unverified"
)

// ruleOf says what an answer means for the recipient. RFC 5321 §4.2.1.
func ruleOf(r mail.Reply) string {
	o := mail.Outcome{Reply: r}
	switch {
	case o.Delivered():
		return fact.RuleDelivered
	case o.Failed():
		return fact.RuleFailed
	}
	return fact.RuleDeferred
}

// messageOf is a queued message as facts tell of it.
func messageOf(e spool.Entry) fact.Message {
	return fact.Message{Queue: e.ID, MessageID: e.MessageID, Account: e.Account.String(), Sender: e.Envelope.From.String(), Size: e.Size}
}
