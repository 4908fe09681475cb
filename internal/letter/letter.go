// Package letter is the only maker of queued mail. Whoever has a message for the queue, be it a
// stranger's, an account's, a forward, a report or a notification, drafts it here: the draft asks
// the gate about its sender and about each recipient, asks the server behind us where only that
// can tell, and becomes the spool's message with the Grant of all that the gate let leave.
//
// It promises that nothing is queued for a recipient whom the gate did not let in, that a
// message leaves in the name of the account that the gate was told of, and that a mailbox
// at a server behind us keeps the capitals and the detail that it was addressed with. The
// architecture test lets nobody else ask the gate or make a message of the spool.
package letter

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// ErrGrants says that the grants of a message's recipients do not belong together. It does
// not happen; if it does, the message is not queued.
var ErrGrants = errors.New("letter: the grants do not join")

// Queue is what is needed of the spool.
type Queue interface {
	Put(ctx context.Context, m spool.Message, body *spool.Body, facts [][]byte) (spool.Claim, error)
}

// Draft is a message in the making. It belongs to one goroutine.
type Draft struct {
	ID      mail.ID
	Account mail.Address // who answers for it; zero: nobody
	// About is the account that a notice is about, for which nobody answers.
	About mail.Address
	// Envelope has a sender from the start; Add gives it recipients.
	Envelope  mail.Envelope
	Ownership gate.Ownership // what the sender is to the account
	// Session tells by which door the message comes, from whom, and how its account stands
	// at this moment; it is asked for each decision.
	Session func() gate.Facts

	deliveries []spool.Delivery
	grants     []gate.Grant
}

// Ours is the Session of a message of our own making, which nobody signed in for.
func Ours(door gate.Door, standing func() gate.Standing) func() gate.Facts {
	return func() gate.Facts {
		return gate.Facts{Door: door, Peer: gate.PeerStranger, Auth: gate.AuthNone, Standing: standing()}
	}
}

// Mail asks the gate about the sender, as things stand at this moment. AcceptLocal means
// "go on".
func (d *Draft) Mail() gate.Verdict { return gate.DecideMail(d.facts()) }

func (d *Draft) facts() gate.Facts {
	f := d.Session()
	f.Ownership = d.Ownership
	return f
}

// Judged is what the gate says of a recipient of a class. The zero Judged refuses.
type Judged struct {
	gate.Verdict
	Class directory.Class
}

// Judge asks the gate about a recipient of a class. Where nothing but the answer of a
// server behind us is missing, ask gives that answer, and the gate is asked again: also for
// the account's standing, since an answer may take its time. With a nil ask it is not known.
func (d *Draft) Judge(a mail.Address, c directory.Class, ask func(directory.Mailbox) directory.Answer) Judged {
	v := d.decide(a, c.Destination)
	if len(c.Ask) == 0 || v.Rule != gate.RuleDirectoryUnavailable || ask == nil {
		return Judged{v, c}
	}
	c = c.Resolve(ask)
	return Judged{d.decide(a, c.Destination), c}
}

func (d *Draft) decide(a mail.Address, to gate.Destination) gate.Verdict {
	f := d.facts()
	f.Destination = to
	return gate.Decide(f, gate.Subject{Transaction: d.ID, Account: cmp.Or(d.Account, d.About), Sender: d.Envelope.From, Recipient: a})
}

// Part is what one recipient adds to a message.
type Part struct {
	Recipient mail.Recipient
	Ways      []spool.Delivery // at least one; what leaves has one, and the Grant for it
	grant     gate.Grant
}

// Part returns what a recipient adds to a message, if the gate let it in. A verdict to
// relay without its capability is no permission.
func (j Judged) Part(r mail.Recipient) (p Part, ok bool) {
	p.Recipient = r
	switch grant, granted := j.Grant(); {
	case j.Action == gate.AcceptLocal:
		for _, box := range j.Class.Mailboxes {
			p.Ways = append(p.Ways, spool.Delivery{Recipient: r, Kind: spool.KindLocal, Mailbox: box.Place(), Detail: box.Detail})
		}
	case j.Action == gate.Relay && granted:
		p.Ways, p.grant = []spool.Delivery{{Recipient: r, Kind: spool.KindOutbound}}, grant
	}
	return p, len(p.Ways) > 0
}

// Add takes a recipient into the message.
func (d *Draft) Add(p Part) {
	d.Envelope.To = append(d.Envelope.To, p.Recipient)
	d.deliveries = append(d.deliveries, p.Ways...)
	if !p.grant.IsZero() {
		d.grants = append(d.grants, p.grant)
	}
}

// Deliveries returns what is to be done, in the order of the recipients.
func (d *Draft) Deliveries() []spool.Delivery { return d.deliveries }

// Leave leaves only these of the deliveries to be done: somebody has taken the others.
func (d *Draft) Leave(rest []spool.Delivery) { d.deliveries = rest }

// Content is what a message is beside its envelope and its body.
type Content struct {
	MessageID string
	Prefix    []byte // header fields of ours, before the body
	Hold      string // why it is held from the start; "" to deliver it
	Junk      bool   // mailboxes of ours keep it apart from other mail
	Forward   spool.Forward
	// Also is changed in the act that makes the message durable.
	Also []store.Mutation
}

// Post queues the message with its body and the facts about it; it is durable when the
// error is nil. Errors: ErrGrants, and those of spool.Put. It ends the body unless the
// error is ErrGrants.
func (d *Draft) Post(ctx context.Context, q Queue, c Content, body *spool.Body, facts ...fact.Fact) (spool.Claim, error) {
	m, err := d.message(c)
	if err != nil {
		return spool.Claim{}, err
	}
	return q.Put(ctx, m, body, fact.EncodeAll(facts...))
}

// Spawn is the message as a settlement puts it into the queue, together with what became
// of another one.
func (d *Draft) Spawn(c Content, body *spool.Body) (spool.Spawned, error) {
	m, err := d.message(c)
	return spool.Spawned{Message: m, Body: body}, err
}

func (d *Draft) message(c Content) (m spool.Message, err error) {
	m = spool.Message{
		ID: d.ID, Envelope: d.Envelope, Account: d.Account, Deliveries: d.deliveries,
		MessageID: c.MessageID, Prefix: c.Prefix, Hold: c.Hold, Junk: c.Junk, Forward: c.Forward, Also: c.Also,
	}
	if len(d.grants) > 0 {
		if m.Grant, err = gate.Join(d.grants...); err != nil {
			return spool.Message{}, fmt.Errorf("%w: %w", ErrGrants, err)
		}
	}
	return m, nil
}
