package dispatch

import (
	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// RuleForwardBudget is why mail of a forward waits: enough went to the target lately.
const RuleForwardBudget = "forward-budget"

// charge is what one recipient of a forward's message takes of the forward's budget.
type charge struct {
	*ledger.Charge
	target mail.Address
}

// afford takes for each recipient of a forward's message what it needs of the budget of
// that forward and target. Whoever finds none waits in the queue and was not tried, so that
// nothing is bounced, however long it takes; the account's own budget is not touched.
func (d *Dispatch) afford(r *run) (waits map[int]bool, facts []fact.Fact) {
	e := r.claim.Entry
	if e.Forward == spool.ForwardNone {
		return d.waiting(r), nil
	}
	waits, r.charges = map[int]bool{}, map[int]charge{}
	most := d.Allowance()
	for i, p := range r.pending {
		if p.Kind != spool.KindOutbound {
			continue
		}
		target := p.Recipient.Address
		c := charge{d.Charge(e.Account, target), target}
		v, alarm := c.Take(1, most)
		if v.OK {
			r.charges[i] = c
			continue
		}
		waits[i] = true
		wait := ledger.Wait(v, d.Now(), d.bounds().Crowded, d.bounds().BudgetMost)
		if r.wait == 0 || wait < r.wait {
			r.wait = wait
		}
		if alarm {
			facts = append(facts, d.budgetAlarm(e, target, v))
		}
	}
	return waits, facts
}

// waiting are the recipients of an account's message who may not have it yet.
func (d *Dispatch) waiting(r *run) (waits map[int]bool) {
	if d.Waits == nil || r.claim.Entry.Account.IsZero() {
		return nil
	}
	waits, r.wait = d.Waits(d.durable(), r.claim.Entry.ID, r.pending)
	return waits
}

// Answers is what other servers said for good, in one attempt, of an account's message.
type Answers struct {
	Account mail.Address
	Message mail.ID
	Refused []mail.Address
	Taken   int // recipients
	All     int // recipients of the message
}

// answered tells who watches the account which of its recipients other servers refused for
// good, and how many they took: of what the account sent, and not of what others wrote in
// its name, who are those whose mail a forward sends on, and the server itself.
func (d *Dispatch) answered(c spool.Claim, a attempt) {
	e := c.Entry
	if d.Answered == nil || e.Account.IsZero() || e.Forward != spool.ForwardNone || c.Grant.Report() {
		return
	}
	out := Answers{Account: e.Account, Message: e.ID, All: len(e.Recipients)}
	for i, o := range a.outcomes {
		switch {
		case a.states[i].Kind != spool.KindOutbound || o.Remote == ourName:
		case o.Failed() && !o.Reply.OfRecipient():
			// It says nothing of whom the account writes to.
		case o.Failed():
			out.Refused = append(out.Refused, a.states[i].Recipient.Address)
		case o.Delivered():
			out.Taken++
		}
	}
	if len(out.Refused)+out.Taken > 0 {
		d.Answered(d.durable(), out)
	}
}

func (d *Dispatch) budgetAlarm(e spool.Entry, target mail.Address, v budget.Verdict) fact.Fact {
	d.Logger.Warn("mail of a forward waits: its target got enough for now", "account", e.Account.String(), "target", target.String(), "rule", string(v.Rule), "limit", v.Most)
	return fact.Alarm{
		At: d.Now(), Rule: RuleForwardBudget, Message: messageOf(e), Session: fact.Session{Conn: fact.ConnCapped},
		Text:       "the forward of " + e.Account.String() + " had " + v.Words() + ": what is more waits in the queue",
		Recipients: []string{target.String()}, Times: v.Used, Evidence: []fact.Pair{{Name: "limit", Value: string(v.Rule)}},
	}.Fact()
}

// account ends the charges of a run that is over: who has the message counts, all others
// were charged nothing.
func (d *Dispatch) account(r *run) {
	for i, c := range r.charges {
		if i < len(r.plan.outcomes) && r.plan.spoken[i] && r.plan.outcomes[i].Delivered() {
			// As a success itself, it is synced with what comes next.
			if err := c.Keep(d.durable(), store.Lazy); err != nil {
				d.Logger.Warn("a count of recipients is kept in memory alone", "queue", r.claim.Entry.ID.String(), "err", err)
			}
			c.Done()
			continue
		}
		c.Release()
	}
	r.charges = nil
}
