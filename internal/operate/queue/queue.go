package queue

import (
	"context"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/spool"
)

// MaxIDs is how many messages one request may name.
const MaxIDs = 10_000

// Message is a message in the queue as operators see it.
type Message struct {
	ID         string      `json:"id"`
	State      string      `json:"state"` // StateWaiting, StateHeld or StateParked
	Reason     string      `json:"reason,omitempty"`
	Received   time.Time   `json:"received"`
	Sender     string      `json:"sender"`            // with angle brackets; "<>" for notifications
	Account    string      `json:"account,omitempty"` // who submitted it; "": a stranger
	MessageID  string      `json:"message_id,omitempty"`
	Size       int64       `json:"size"`
	Attempts   int         `json:"attempts"`
	NextTry    time.Time   `json:"next_try,omitzero"`
	Forward    bool        `json:"forward,omitempty"` // sent on in the account's name
	Warned     bool        `json:"warned,omitempty"`  // the account was told of the delay
	Junk       bool        `json:"junk,omitempty"`    // mailboxes of ours keep it apart
	Recipients []Recipient `json:"recipients"`
}

// Recipient is one delivery of a Message.
type Recipient struct {
	Address string    `json:"address"`
	Mailbox string    `json:"mailbox,omitempty"` // of ours; "": it goes to another host
	State   string    `json:"state"`             // RecipientPending, "delivered", "failed", or RecipientUntold
	Last    string    `json:"last,omitempty"`    // the last reply
	LastAt  time.Time `json:"last_at,omitzero"`
	Remote  string    `json:"remote,omitempty"` // who gave it
}

// Select chooses messages; a message must match everything that is given.
type Select struct {
	IDs       []string      `json:"ids,omitempty"`
	All       bool          `json:"all,omitempty"` // needed to change every message
	Account   string        `json:"account,omitempty"`
	Sender    string        `json:"sender,omitempty"` // an address, or "<>"
	Recipient string        `json:"recipient,omitempty"`
	Domain    string        `json:"domain,omitempty"` // of a recipient
	Held      *bool         `json:"held,omitempty"`
	OlderThan time.Duration `json:"older_than,omitempty"`
	Limit     int           `json:"limit,omitempty"`
}

// QueueChange asks for a change of the chosen messages.
type QueueChange struct {
	Select
	Reason string `json:"reason,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"` // only count
	// Tell is called now and then, by one goroutine at a time, with what is done so far,
	// while there is much to do; nil: nobody asks. It is not sent.
	Tell func(QueueChanged) `json:"-"`
}

// QueueChanged says how many messages were changed, or would be. Those that were
// chosen and could not be (what is held with its account is neither released nor
// retried) are Unchanged; those that were named and not found are Missing.
type QueueChanged struct {
	Count     int  `json:"count"`
	Unchanged int  `json:"unchanged,omitempty"`
	Missing   int  `json:"missing,omitempty"`
	DryRun    bool `json:"dry_run,omitempty"`
}

// QueueRef names a message.
type QueueRef struct {
	ID string `json:"id"`
}

// Asked says in words which message somebody asks for.
func (r QueueRef) Asked() string {
	return "a message of the queue, " + mail.Printable(r.ID, mail.NameShown)
}

// QueueList calls fn for each chosen message, oldest first.
func (op *Actions) QueueList(ctx context.Context, _ call.Caller, r Select, fn func(Message) error) error {
	f, err := op.filter(r)
	if err != nil {
		return err
	}
	return op.o.Queue.List(ctx, f, func(e spool.Entry) (bool, error) {
		return true, fn(op.Message(e))
	})
}

// QueueShow returns one message.
func (op *Actions) QueueShow(ctx context.Context, _ call.Caller, r QueueRef) (Message, error) {
	e, err := op.queued(ctx, r.ID)
	if err != nil {
		return Message{}, err
	}
	return op.Message(e), nil
}

// QueueHold keeps the chosen messages from being tried until they are released.
func (op *Actions) QueueHold(ctx context.Context, by call.Caller, r QueueChange) (QueueChanged, error) {
	if r.Reason == "" {
		r.Reason = "held by an operator"
	}
	return op.change(ctx, by, r, tellHeld, func(ctx context.Context, f spool.Filter, facts [][]byte) (int, error) {
		return op.o.Queue.Hold(ctx, f, r.Reason, facts)
	})
}

// QueueRelease ends the hold of the chosen messages. It does not release what is
// held with its account: thaw the account.
func (op *Actions) QueueRelease(ctx context.Context, by call.Caller, r QueueChange) (QueueChanged, error) {
	return op.change(ctx, by, r, tellReleased, op.o.Queue.Release)
}

// QueueRetry makes the chosen messages due now, and no next hop is left alone for having been out
// of reach: who asks knows something.
func (op *Actions) QueueRetry(ctx context.Context, by call.Caller, r QueueChange) (QueueChanged, error) {
	return op.change(ctx, by, r, tellRetried, func(ctx context.Context, f spool.Filter, facts [][]byte) (int, error) {
		if op.o.Wake != nil {
			op.o.Wake()
		}
		return op.o.Queue.Retry(ctx, f, facts)
	})
}

// QueueRemove removes the chosen messages for good, without telling their senders.
func (op *Actions) QueueRemove(ctx context.Context, by call.Caller, r QueueChange) (QueueChanged, error) {
	return op.change(ctx, by, r, tellRemoved, op.o.Queue.Remove)
}

// Chooses reports whether anything narrows the choice down.
func (s Select) Chooses() bool {
	return len(s.IDs) > 0 || s.Account != "" || s.Sender != "" || s.Recipient != "" || s.Domain != "" || s.Held != nil || s.OlderThan > 0
}

// tellMessage makes the fact of what was done to a message.
type tellMessage func(at time.Time, m fact.Message, evidence []fact.Pair) fact.Event

func tellHeld(at time.Time, m fact.Message, evidence []fact.Pair) fact.Event {
	return fact.Held{At: at, Rule: fact.RuleOperator, Message: m, Evidence: evidence}
}

func tellReleased(at time.Time, m fact.Message, evidence []fact.Pair) fact.Event {
	return fact.Released{At: at, Rule: fact.RuleOperator, Message: m, Evidence: evidence}
}

func tellRetried(at time.Time, m fact.Message, evidence []fact.Pair) fact.Event {
	return fact.Retried{At: at, Rule: fact.RuleOperator, Message: m, Evidence: evidence}
}

func tellRemoved(at time.Time, m fact.Message, evidence []fact.Pair) fact.Event {
	return fact.Removed{At: at, Rule: fact.RuleOperator, Message: m, Evidence: evidence}
}

func (op *Actions) messageFact(tell tellMessage, by call.Caller, e spool.Entry, reason string) fact.Fact {
	evidence := call.DoneBy(by)
	if reason != "" {
		evidence = append(evidence, call.Because(reason))
	}
	return tell(op.o.Now(), queuedMessage(e), evidence).Fact()
}

// filter parses a Select.
func (op *Actions) filter(s Select) (f spool.Filter, err error) {
	if len(s.IDs) > MaxIDs || s.Limit < 0 || s.OlderThan < 0 {
		return f, call.Refused("a bound of the request is out of range")
	}
	for _, text := range s.IDs {
		id, err := mail.ParseID(text)
		if err != nil {
			return f, call.Invalid(err)
		}
		f.IDs = append(f.IDs, id)
	}
	if s.Sender == "<>" {
		f.Null, s.Sender = true, ""
	}
	for _, a := range []struct {
		text string
		into *mail.Address
	}{{s.Account, &f.Account}, {s.Sender, &f.Sender}, {s.Recipient, &f.Recipient}} {
		if err := a.into.UnmarshalText([]byte(a.text)); err != nil {
			return f, call.Invalid(err)
		}
	}
	if err := f.Domain.UnmarshalText([]byte(s.Domain)); err != nil {
		return f, call.Invalid(err)
	}
	f.Held, f.Limit = s.Held, s.Limit
	if s.OlderThan > 0 {
		f.OlderThan = op.o.Now().Add(-s.OlderThan)
	}
	return f, nil
}

// Message is a message in the queue as operators see it.
func (op *Actions) Message(e spool.Entry) Message {
	m := Message{
		ID: e.ID.String(), State: StateWaiting, Received: e.Received, Sender: e.Envelope.From.String(), Account: e.Account.String(),
		MessageID: e.MessageID, Size: e.Size, Attempts: e.Attempts, NextTry: op.o.Queue.Shown(e.NextTry),
		Forward: e.Forward != spool.ForwardNone, Warned: e.Warned, Junk: e.Junk, Recipients: []Recipient{},
	}
	reason, accountHeld := op.o.Queue.AccountHeld(e.Account)
	switch {
	case e.Held != "":
		m.State, m.Reason, m.NextTry = StateHeld, e.Held, time.Time{}
	case accountHeld:
		m.State, m.Reason, m.NextTry = StateParked, reason, time.Time{}
	case op.o.WhyWaits != nil:
		m.Reason = op.o.WhyWaits(e.ID)
	}
	for _, r := range e.Recipients {
		m.Recipients = append(m.Recipients, recipient(r))
	}
	return m
}

// The states of a message in the queue.
const (
	StateWaiting = "waiting"
	StateHeld    = "held"
	StateParked  = "held with its account"
)

// Why returns why the message is still in the queue, as far as anybody said so: the reason
// of its hold, that its account writes to new people, or the last answer that a recipient got who does not have it.
func (m Message) Why() string {
	if m.State != StateWaiting || m.Reason != "" {
		return m.Reason
	}
	var newest Recipient
	for _, r := range m.Recipients {
		if (r.State == RecipientPending || r.State == RecipientUntold) && r.Last != "" && !r.LastAt.Before(newest.LastAt) {
			newest = r
		}
	}
	if newest.Last == "" || newest.Remote == "" {
		return newest.Last
	}
	return newest.Last + " (" + newest.Remote + ")"
}

// RecipientPending is the state of a recipient who does not have the message yet.
const RecipientPending = "pending"

// RecipientUntold is the state of a recipient who failed without anybody being told.
const RecipientUntold = "failed, nobody told"

func recipient(r spool.RecipientState) Recipient {
	v := Recipient{Address: r.Recipient.Address.String(), LastAt: r.LastAt, Remote: r.Remote}
	if r.Kind == spool.KindLocal {
		v.Mailbox = r.Mailbox.String()
	}
	if !r.Last.IsZero() {
		v.Last = r.Last.String()
	}
	switch r.State {
	case spool.StatePending:
		v.State = RecipientPending
	case spool.StateDelivered:
		v.State = "delivered"
	case spool.StateFailed:
		v.State = "failed"
	case spool.StateUntold:
		v.State = RecipientUntold
	}
	return v
}
