package dispatch

import (
	"slices"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// leaving is what enters the queue together with an attempt, and the facts about it.
type leaving struct {
	messages []spool.Spawned
	facts    []fact.Fact
	of       [][]int // which deliveries of the attempt each message carries on; nil for none
	brought  bool    // the last message is the copy for a mailbox that has none
}

// abort drops what was not taken.
func (l leaving) abort() {
	for _, m := range l.messages {
		_ = m.Body.Abort()
	}
}

// named returns the attempt with each outcome naming the message that carries it on.
func (l leaving) named(a attempt) attempt {
	a.outcomes = slices.Clone(a.outcomes)
	for n, deliveries := range l.of {
		text := "sent on as " + l.messages[n].Message.ID.String()
		for _, i := range deliveries {
			if o := &a.outcomes[i]; o.Reply.Text == "" || o.Remote == forwardName {
				o.Reply.Text = text
			} else {
				o.Reply.Text += "; " + text
			}
		}
	}
	return a
}

// sendAll makes what leaves for the deliveries of an attempt, one message for each
// account, whichever addresses lead to it: where a mailbox gets a copy, only when it
// has it.
func (d *Dispatch) sendAll(c spool.Claim, a attempt) (leaving, error) {
	var out leaving
	made := map[string]int{}
	for i, s := range a.on {
		if !s.leaves() || !a.outcomes[i].Delivered() {
			continue
		}
		if n, ok := made[s.account.Key()]; ok {
			out.of[n] = append(out.of[n], i)
			continue
		}
		made[s.account.Key()] = len(out.of)
		id, err := mail.NewID(d.Now(), d.Rand)
		if err != nil {
			return out, err
		}
		m, err := d.send(c, s, id)
		if err != nil {
			return out, err
		}
		out.messages, out.facts, out.of = append(out.messages, m.Spawned), append(out.facts, m.fact), append(out.of, []int{i})
	}
	return out, nil
}

// stay returns the attempt without anything that leaves, for a reason: mailboxes keep
// the copies that they got, and what was to leave alone was not tried.
func (a attempt) stay(rule string) attempt {
	out := attempt{sender: a.sender}
	for i, s := range a.on {
		if s.leaves() && !s.keep {
			continue
		}
		if s.leaves() {
			s.targets, s.rule = nil, rule
		}
		out.states, out.outcomes, out.on = append(out.states, a.states[i]), append(out.outcomes, a.outcomes[i]), append(out.on, s)
	}
	return out
}

// stayFacts says why mail stays although its account forwards.
func (d *Dispatch) stayFacts(e spool.Entry, a attempt) []fact.Fact {
	var facts []fact.Fact
	for i, s := range a.on {
		if s.rule == "" || !a.outcomes[i].Delivered() {
			continue
		}
		f := fact.Forwarded{At: d.Now(), Rule: s.rule, Message: messageOf(e), Note: "it stays in the mailbox"}
		f.Message.Account = s.account.String()
		if s.leaves() {
			f.Note = "it stays in the mailbox, and is sent to others"
		}
		facts = append(facts, f.Fact())
	}
	return facts
}

const (
	// recordOctets is what a message that is sent on takes in its act beside its content, about.
	recordOctets = 16 << 10
	// besideOctets is the largest body that may be kept beside its record: a larger one is in a file.
	besideOctets = 1 << 20
)

// mostForwards returns how many messages one attempt at e may send on, at least one:
// they enter the queue in one act, whose size is bound.
func (d *Dispatch) mostForwards(e spool.Entry) int {
	each := recordOctets + int64(len(e.Prefix))
	if e.Size <= besideOctets {
		each += e.Size
	}
	return int(min(int64(d.bounds().Forwards), max(d.bounds().ForwardOctets/each, 1)))
}

// bringBack makes the copy of a message for the mailbox that has none.
func (d *Dispatch) bringBack(c spool.Claim, boxes letter.Judged, now time.Time) (spool.Spawned, fact.Fact, error) {
	e := c.Entry
	id, err := mail.NewID(now, d.Rand)
	if err != nil {
		return spool.Spawned{}, fact.Fact{}, err
	}
	draft := ownTo(id, e.Account, boxes)
	draft.Envelope.Body, draft.Envelope.SMTPUTF8, draft.Envelope.TLS = e.Envelope.Body, e.Envelope.SMTPUTF8, e.Envelope.TLS
	// Its marks keep it from being sent on again.
	m, err := d.copied(c, draft, letter.Content{MessageID: e.MessageID, Prefix: e.Prefix})
	f := fact.Forwarded{
		At: d.Now(), Rule: RuleKeptAfterAll, Message: messageOf(e), About: e.ID, Recipients: []string{e.Account.String()},
		Note: "a target refused it: it comes into the mailbox",
	}
	f.Message.Queue = id
	return m, f.Fact(), err
}

// countFailures counts the failures of a forward's targets one after another, and
// returns an alarm when they have become many.
func (d *Dispatch) countFailures(e spool.Entry, a attempt) []fact.Fact {
	if e.Forward == spool.ForwardNone {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var alarms []fact.Fact
	for _, o := range a.outcomes {
		key := strings.Join([]string{e.Account.Key(), o.Recipient.Key()}, " ")
		switch {
		case o.Delivered():
			delete(d.failing, key)
		case o.Failed():
			if d.failing[key] == 0 && len(d.failing) >= d.bounds().Failing {
				clear(d.failing) // a count begun anew is an alarm later, not none
			}
			d.failing[key]++
			if n := d.failing[key]; n%d.bounds().FailingAlarm == 0 {
				alarms = append(alarms, d.failingAlarm(e, o, n))
			}
		}
	}
	return alarms
}

func (d *Dispatch) failingAlarm(e spool.Entry, o mail.Outcome, n int) fact.Fact {
	d.Logger.Warn("a forward keeps failing", "account", e.Account.String(), "target", o.Recipient.String(), "times", n, "answer", o.Reply.String())
	return fact.Alarm{
		At: d.Now(), Rule: RuleFailing, Message: messageOf(e), Text: "the forward of " + e.Account.String() + " keeps failing",
		Recipients: []string{o.Recipient.String()}, Reply: o.Reply, Remote: o.Remote, Times: n,
	}.Fact()
}
