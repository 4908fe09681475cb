package dispatch

import (
	"errors"
	"slices"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath/srs"
	"sallyport/internal/spool"
)

// report is one recipient's part of a notification.
type report struct {
	state   spool.RecipientState
	outcome mail.Outcome
	action  string // RFC 3464 §2.3.3
}

// elsewhere reports an attempt beyond this server.
func (r report) elsewhere() bool {
	return r.state.Kind == spool.KindOutbound && r.outcome.Remote != "" && r.outcome.Remote != ourName && r.outcome.Remote != forwardName
}

const (
	actionFailed    = "failed"
	actionDelayed   = "delayed"
	actionDelivered = "delivered"
	actionRelayed   = "relayed"
)

func (r report) failed() bool { return r.action == actionFailed }

func (r report) delayed() bool { return r.action == actionDelayed }

// arrived reports a success, as far as we know of one.
func (r report) arrived() bool { return !r.failed() && !r.delayed() }

// wanted picks the outcomes that RFC 3461 §4.1 says to report. Of what is deferred
// it speaks only when the message is late.
func wanted(states []spool.RecipientState, outcomes []mail.Outcome, late bool) []report {
	var out []report
	for i, o := range outcomes {
		action := actionOf(states[i], o)
		if late && isDelayWanted(states[i], o) {
			action = actionDelayed
		}
		if action != "" {
			out = append(out, report{states[i], o, action})
		}
	}
	return out
}

// actionOf returns what to report of one outcome, "" for nothing.
func actionOf(s spool.RecipientState, o mail.Outcome) string {
	n := s.Recipient.Notify
	switch {
	case n&mail.NotifyNever != 0:
		return ""
	case o.Failed() && (n == 0 || n&mail.NotifyFailure != 0):
		return actionFailed
	case !o.Delivered() || n&mail.NotifySuccess == 0:
		return ""
	case s.Kind == spool.KindLocal && o.Remote == forwardName:
		return actionRelayed
	case s.Kind == spool.KindLocal:
		return actionDelivered
	case o.Notifies:
		return "" // RFC 3461 §5.2.2: the next hop reports
	}
	return actionRelayed // RFC 3461 §5.2.3: nobody behind us will
}

// isDelayWanted reports whether a delay is to be told. RFC 3461 §4.1 leaves it to us
// where the sender said nothing; NEVER, and a list without DELAY, forbid it.
func isDelayWanted(s spool.RecipientState, o mail.Outcome) bool {
	n := s.Recipient.Notify
	return o.Deferred() && (n == 0 || n&mail.NotifyDelay != 0) && n&mail.NotifyNever == 0
}

// addressee returns who is told of an entry's failures, if anybody is: its sender, or
// the account whose mail it is that was sent on, whoever wrote that.
func addressee(e spool.Entry) (mail.Address, bool) {
	if e.Account.IsZero() {
		return mail.Address{}, false
	}
	if e.Forward != spool.ForwardNone {
		return e.Account, true
	}
	// RFC 5321 §6.1: a message with the null path is never answered.
	return e.Envelope.From.Address()
}

// verified asks the gate whether a notification may go to the sender, and returns
// the mailboxes it goes to: those of the account that submitted the message, at its
// own envelope sender. Promise 5.
func (d *Dispatch) verified(e spool.Entry, sender mail.Address) letter.Judged {
	dir := d.Directory()
	// The server behind us need not be asked about an account that was signed in.
	class := dir.Classify(sender).Resolve(func(directory.Mailbox) directory.Answer { return directory.AnswerYes })
	j := own(e.ID).Judge(sender, class, nil)
	if j.Action != gate.AcceptLocal || !dir.Owner(e.Account).Owns(sender) {
		return letter.Judged{}
	}
	return j
}

// own begins a message of our own, with the null path. RFC 3464 §2
func own(id mail.ID) *letter.Draft {
	return &letter.Draft{
		ID: id, Envelope: mail.Envelope{From: mail.NullPath()}, Ownership: gate.OwnershipNull,
		Session: letter.Ours(gate.DoorNotification, func() gate.Standing { return gate.StandingNone }),
	}
}

// tell makes the notifications of a conclusion. What was sent on without a copy, and
// reaches somebody never, comes into the mailbox after all, in the same act.
func (d *Dispatch) tell(c spool.Claim, k conclusion, now time.Time) (out leaving, err error) {
	for _, reports := range apart(k.reports) {
		n, told, err := d.notification(c, reports, k.to, now)
		if err != nil {
			return out, err
		}
		out.messages, out.facts = append(out.messages, n), append(out.facts, told)
	}
	if c.Entry.Forward != spool.ForwardSent || !slices.ContainsFunc(k.reports, report.failed) {
		return out, nil
	}
	back, brought, err := d.bringBack(c, k.to, now)
	if err != nil {
		return out, err
	}
	out.messages, out.facts, out.brought = append(out.messages, back), append(out.facts, brought), true
	return out, nil
}

// apart parts what failed, what is delayed and what arrived: each is a notification of its own. Programs that read
// them go by the first recipient's fate, and take a failure beside another one for no failure.
func apart(all []report) (parts [][]report) {
	for _, of := range []func(report) bool{report.failed, report.delayed, report.arrived} {
		var part []report
		for _, r := range all {
			if of(r) {
				part = append(part, r)
			}
		}
		if len(part) > 0 {
			parts = append(parts, part)
		}
	}
	return parts
}

// notification makes the delivery status notification of the reports, and the fact
// about it.
func (d *Dispatch) notification(c spool.Claim, reports []report, boxes letter.Judged, now time.Time) (spool.Spawned, fact.Fact, error) {
	e := c.Entry
	to, _ := addressee(e)
	id, err := mail.NewID(now, d.Rand)
	if err != nil {
		return spool.Spawned{}, fact.Fact{}, err
	}
	n := notice{
		host: d.Hostname, id: id, to: to, entry: e, reports: reports, at: now, until: d.Queue.Shown(e.Since.Add(d.set.Load().policy.Expire)), limits: *d.bounds(),
	}
	if d.low(e.Size) {
		n.limits.ReturnedMessage = 0 // its header section must do
	}
	body, err := d.Queue.NewBody(d.durable())
	if err != nil {
		return spool.Spawned{}, fact.Fact{}, err
	}
	if err := d.write(body, n, c); err != nil {
		return spool.Spawned{}, fact.Fact{}, errors.Join(err, body.Abort())
	}
	draft, l := ownTo(id, to, boxes), letter.Content{MessageID: n.messageID()}
	draft.Envelope.Body, draft.Envelope.SMTPUTF8 = mail.Body8BitMIME, n.utf8()
	draft.Envelope.TLS = e.Envelope.TLS // RFC 8689 §5
	if e.Forward != spool.ForwardNone {
		// It must not go the way that fails. A mark says so of an account as well whose name no header can bear.
		l.Prefix = d.marked(srs.MarkSent, e.Account, l.MessageID)
	}
	m, err := draft.Spawn(l, body)
	if err != nil {
		return spool.Spawned{}, fact.Fact{}, errors.Join(err, body.Abort())
	}
	f := fact.Notified{
		At: d.Now(), Rule: RuleNotifyVerifiedSender, About: e.ID, Recipients: []string{to.String()},
		Message: fact.Message{Queue: id, MessageID: l.MessageID, Account: e.Account.String(), Sender: "<>", Size: body.Size()},
	}
	for _, r := range reports {
		f.Evidence = append(f.Evidence, fact.Pair{Name: r.action, Value: r.outcome.Recipient.String()})
	}
	return m, f.Fact(), nil
}

// ownTo is a message of our own to the mailboxes that the gate let it go to, of which
// nobody is ever told.
func ownTo(id mail.ID, to mail.Address, boxes letter.Judged) *letter.Draft {
	draft := own(id)
	if p, ok := boxes.Part(mail.Recipient{Address: to, Notify: mail.NotifyNever}); ok {
		draft.Add(p)
	}
	return draft
}

func (d *Dispatch) write(body *spool.Body, n notice, c spool.Claim) error {
	original, err := d.open(c)
	if err != nil {
		return err
	}
	return errors.Join(n.write(body, original), original.Close())
}
