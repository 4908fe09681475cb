package intake

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/spool"
)

// Offers is how intake gives a message to a server behind us while its sender waits.
type Offers interface {
	// Offer delivers the job to the server behind us and returns one outcome for
	// each recipient. It waits no longer than ctx.
	Offer(ctx context.Context, h directory.Server, j nexthop.Job) []mail.Outcome
}

// offered is what became of the deliveries of a message that servers behind us were
// offered.
type offered struct {
	deliveries []spool.Delivery
	outcomes   []mail.Outcome // side by side with deliveries
	rest       []spool.Delivery
	others     int // of rest, those that were not offered
}

// cutThrough offers a message to the servers behind us of domains that ask for it,
// and leaves in the draft what is still to be delivered. done means that the sender's answer
// is known: that nobody has the message, and no other recipient waits for it, or
// that all of them have it.
//
// There is one answer for the whole message (RFC 5321 §4.2). A sender that is told
// anything but 250 sends it again, to all: so once somebody has it the answer is
// 250, and who does not have it yet is queued. That happens to our own people, who can
// be told, and to an alias with several mailboxes; see crowds.
func (t *transaction) cutThrough(ctx context.Context, l letter.Content, c content, body *spool.Body,
	w watch.Judged) (o offered, r mail.Reply, done bool) {
	servers := t.cutServers(t.draft.Deliveries())
	if len(servers) == 0 || c.judged.Action == Hold || w.Waits {
		return offered{rest: t.draft.Deliveries()}, mail.Reply{}, false
	}
	if err := body.End(); err != nil {
		return o, t.failed(ctx, c, err), true
	}
	if err := t.keepCharge(ctx); err != nil {
		return o, t.failed(ctx, c, err), true
	}
	if len(w.Also) > 0 {
		t.s.in.Watch.Keep(ctx, w.Also)
	}
	limited, cancel := context.WithTimeout(ctx, t.limit.OfferTime)
	defer cancel()
	out := letter.Depart(limited, t.mayLeave)
	t.s.leaving.Store(out)
	for _, h := range servers {
		t.offer(out, h, l.Prefix, body, &o)
	}
	t.s.leaving.Store(nil)
	out.End()
	for _, d := range t.draft.Deliveries() {
		if _, cut := t.cutServer(d); !cut {
			o.rest = append(o.rest, d)
			o.others++
		}
	}
	switch {
	case o.others == 0 && !slices.ContainsFunc(o.outcomes, mail.Outcome.Delivered):
		return o, t.failed(ctx, c, o.refusal()), true
	case len(o.rest) == 0:
		return o, t.passedOn(ctx, c, body.Size(), o), true
	}
	t.draft.Leave(o.rest)
	return o, mail.Reply{}, false
}

// cutServer returns the server behind us that a delivery is offered to at once.
func (t *transaction) cutServer(d spool.Delivery) (directory.Server, bool) {
	own, _ := t.dir.Domain(d.Mailbox.Domain())
	cut := d.Kind == spool.KindLocal && own.Deliver.Behind() && own.CutThrough && t.s.in.Offers != nil
	// A forward is carried out by dispatch, which then delivers the copy as well.
	_, forwarded := t.dir.Forwards(d.Mailbox)
	return own.Server, cut && !forwarded
}

// crowds reports whether a recipient would keep a stranger from getting one answer for
// all: a server behind us that gets the message while its sender waits answers for its
// own recipient alone, and what it refuses could only be held. So such a recipient is by
// alone in a stranger's transaction, and the others come in another one: RFC 5321
// §4.5.3.1.10 has senders do that. Our own people are told by a notification.
func (t *transaction) crowds(to mail.Address, ways []spool.Delivery) bool {
	if !t.s.anonymous() || len(t.draft.Deliveries()) == 0 || t.seen[recipientKey(to)] {
		return false
	}
	return t.cut || slices.ContainsFunc(ways, func(w spool.Delivery) bool {
		_, cut := t.cutServer(w)
		return cut
	})
}

// cutServers returns each of them once.
func (t *transaction) cutServers(all []spool.Delivery) []directory.Server {
	var servers []directory.Server
	for _, d := range all {
		if h, ok := t.cutServer(d); ok && !slices.Contains(servers, h) {
			servers = append(servers, h)
		}
	}
	return servers
}

// mayLeave reports whether whoever signed in may still send.
func (t *transaction) mayLeave() bool { return t.draft.Mail().Action == gate.AcceptLocal }

// offer offers the message to one server behind us and notes what became of it.
func (t *transaction) offer(leaving *letter.Departure, h directory.Server, prefix []byte, body *spool.Body, o *offered) {
	out := letter.Out{
		ID: t.draft.ID, Envelope: t.draft.Envelope, Prefix: prefix, Size: int64(len(prefix)) + body.Size(),
		Received: t.s.in.Now(), Attempt: 1,
		// The account may have been frozen while a connection was made.
		May: t.mayLeave,
		Open: leaving.Guard(func() (io.ReadCloser, error) {
			r, err := body.Reader()
			if err != nil {
				return nil, err
			}
			return io.NopCloser(io.MultiReader(bytes.NewReader(prefix), r)), nil
		}),
	}
	var mine []spool.Delivery
	for _, d := range t.draft.Deliveries() {
		if at, ok := t.cutServer(d); ok && at == h {
			mine = append(mine, d)
			out.To = append(out.To, nexthop.Recipient{Recipient: d.Recipient, Mailbox: d.Mailbox, Detail: d.Detail})
		}
	}
	t.offered(leaving.Context(), h, out.Job(), mine, o)
}

// offered gives the job to the server and notes the outcomes.
func (t *transaction) offered(ctx context.Context, h directory.Server, j nexthop.Job, mine []spool.Delivery, o *offered) {
	out := t.s.in.Offers.Offer(ctx, h, j)
	if len(out) != len(mine) {
		out = j.All(mail.R(451, "4.3.0", "the delivery reported nothing"), h.String())
	}
	for i, d := range mine {
		if !out[i].Delivered() {
			o.rest = append(o.rest, d)
		}
	}
	o.deliveries, o.outcomes = append(o.deliveries, mine...), append(o.outcomes, out...)
}

// refusal is the answer where nobody has the message: it may be tried again while
// anything may pass, else it is the first refusal.
func (o offered) refusal() *errRefused {
	e := &errRefused{rule: RuleCutThroughRefused, evidence: o.pairs()}
	at := slices.IndexFunc(o.outcomes, mail.Outcome.Deferred)
	if at >= 0 {
		e.rule = RuleCutThroughDeferred
	} else {
		at = 0
	}
	r := o.outcomes[at].Reply
	text := "the server of this domain says: " + said(r)
	switch r.Class() {
	case mail.ClassPermanent:
		e.reply = mail.R(554, r.Enhanced.String(), text)
	default:
		e.reply = mail.R(451, r.Enhanced.String(), text)
		if r.Enhanced.Class != 4 {
			e.reply = mail.R(451, "4.3.0", text)
		}
	}
	return e
}

// pairs are the outcomes as evidence.
func (o offered) pairs() []fact.Pair {
	var out []fact.Pair
	for i, d := range o.deliveries {
		if i == maxHeard {
			break
		}
		words := []string{d.Mailbox.String(), o.outcomes[i].Reply.String(), "says " + o.outcomes[i].Remote}
		out = append(out, fact.Pair{Name: "server behind", Value: strings.Join(words, "; ")})
	}
	return out
}

// offerFacts are the outcomes as facts of the message.
func (t *transaction) offerFacts(c content, o offered) []fact.Fact {
	var facts []fact.Fact
	for i, d := range o.deliveries {
		out := o.outcomes[i]
		f := fact.Outcome{
			At: t.s.in.Now(), Session: t.s.seen(),
			Message:    fact.Message{Queue: t.draft.ID, MessageID: c.messageID, Sender: t.draft.Envelope.From.String()},
			Recipients: []string{d.Mailbox.String()}, Remote: out.Remote, TLS: out.TLS, Reply: out.Reply,
			Attempt: 1, Note: "while the sender waited",
		}
		switch {
		case out.Delivered():
			f.Rule = fact.RuleDelivered
		case out.Failed():
			f.Rule = fact.RuleFailed
		default:
			f.Rule = fact.RuleDeferred
		}
		facts = append(facts, f.Fact())
	}
	return facts
}

// passedOn answers a message that the servers behind us have taken for everybody:
// their word is the durable copy. That it came in stands in no queue, and so it is synced before
// the sender is told.
func (t *transaction) passedOn(ctx context.Context, c content, size int64, o offered) mail.Reply {
	f := t.acceptFact(c, size)
	f.Reply = mail.R(250, "2.0.0", "delivered as "+t.draft.ID.String())
	if err := t.s.in.Journal.Keep(context.WithoutCancel(ctx), append([]fact.Fact{f}, t.offerFacts(c, o)...)...); err != nil {
		t.s.in.Logger.Error("fact not recorded", "kind", string(f.Kind), "conn", t.s.conn.ID, "err", err)
	}
	t.keepReported(ctx)
	t.sent()
	t.s.accepted++
	return f.Reply
}

// notQueued answers a message that the queue did not take. Whoever has it already from a server
// behind us gets it again when it is sent again: the trace says so, and they were sent to.
func (t *transaction) notQueued(ctx context.Context, c content, o offered, err error) mail.Reply {
	if !slices.ContainsFunc(o.outcomes, mail.Outcome.Delivered) {
		return t.failed(ctx, c, err)
	}
	t.sent()
	var refused *errRefused
	if !errors.As(err, &refused) {
		rule, reply := notStored(err)
		refused = &errRefused{rule: rule, reply: reply}
	}
	said := *refused
	said.evidence = append(append(slices.Clone(refused.evidence), o.pairs()...), fact.Pair{
		Name: "repeated", Value: "some have the message already: " + err.Error(),
	})
	return t.failed(ctx, c, &said)
}
