package intake

import (
	"context"
	"slices"

	"sallyport/internal/bind"
	"sallyport/internal/budget/inflow"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
	"sallyport/internal/smtp/wire"
	"sallyport/internal/spool"
)

// transaction is one message in the making. It is dropped whole: nothing of it
// outlives Abort, and the session keeps no part of it.
type transaction struct {
	s     *session
	dir   *directory.Snapshot // one for the whole transaction
	limit Limits              // one set for the whole transaction
	door  gate.Door
	draft letter.Draft
	// binding is what becomes of names that are not the account's, and notOwned are those
	// that were met while they are only reported.
	binding  bind.Mode
	notOwned []bind.Use
	hold     *allowance.Hold // the memory that it takes; ends with it

	seen    map[seenKey]bool // recipients by key, and mailboxes
	rules   []gate.Rule      // that let recipients in, each once
	cut     bool             // a delivery is to a server that gets the message while its sender waits
	over    fact.Fact        // recipients that a limit kept out, not recorded yet
	charge  *ledger.Charge   // what it takes of the account's budget; nil: nothing
	exempt  bool             // the recipient at hand is not to be screened further, by the administrator's list
	flow    *inflow.Charge   // what it takes of those of its sender's network and of the mailboxes
	invalid int              // recipients that were refused for good
	said    []fact.Pair      // by servers behind us and by signed return paths, of recipients that were let in

	// messageID is that of the header, once it has come; cutOff: the message began to come, and did
	// not come to its end.
	messageID string
	cutOff    bool
}

var _ server.Transaction = (*transaction)(nil)

// Mail decides whether this session may use the envelope sender.
func (s *session) Mail(ctx context.Context, env mail.Envelope) (server.Transaction, mail.Reply) {
	if r := s.disowned(ctx); !r.IsZero() {
		return nil, r
	}
	if r := s.unasked(ctx); !r.IsZero() {
		return nil, r
	}
	if r := s.ofNetwork(ctx, env.From); !r.IsZero() {
		return nil, r
	}
	id, err := mail.NewID(s.in.Now(), s.in.Rand)
	if err != nil {
		s.in.Logger.Error("no chance for a queue id", "err", err)
		return nil, s.refuse(ctx, fact.Fact{
			Rule: RuleQueueIDUnavailable, Reply: mail.R(451, "4.3.0", "try again later"),
			Sender: env.From.String(), Text: err.Error(),
		})
	}
	if s.anonymous() && env.Ret == mail.RetFull {
		env.Ret = mail.RetHeaders // nothing of a stranger is sent back whole
	}
	hold := s.memory()
	if !hold.Take(transactionOctets) {
		return nil, s.refuse(ctx, fact.Fact{Rule: RuleMemory, Reply: crowded(), Sender: env.From.String()})
	}
	tx := &transaction{
		s: s, hold: hold, dir: s.in.Directory(), limit: s.in.Bounds(), door: door(s.conn.Kind),
		binding: s.binding(), seen: map[seenKey]bool{},
	}
	tx.flow = s.in.Inflow.Charge(s.source(), env.Size, env.From.IsNull())
	// What the directory says of the sender stays as it is now.
	tx.draft = letter.Draft{
		ID: id, Account: s.account().Address, Envelope: env,
		Ownership: tx.dir.Ownership(s.account().Address, env.From), Session: s.facts,
	}
	v := tx.reportSender(tx.draft.Mail())
	if v.Action == gate.AcceptLocal {
		s.message = tx
		return tx, mail.R(250, "2.1.0", "sender ok")
	}
	hold.End()
	f := fact.Fact{Rule: string(v.Rule), Reply: v.Reply, Sender: env.From.String()}
	s.claimed(ctx, f.Rule, env.From)
	s.refusedNames(ctx, f.Rule, tx.dir, tx.notOwned)
	return nil, s.refuse(ctx, f)
}

// Rcpt decides one recipient.
func (t *transaction) Rcpt(ctx context.Context, to wire.RcptParams) mail.Reply {
	// RFC 5321 §4.5.1: a bare postmaster is this host's.
	addr, err := to.To.At(t.dir.Hostname())
	if err != nil {
		return t.refuse(ctx, RuleRecipientSyntax, mail.R(501, "5.1.3", "no recipient address"), to.To.String())
	}
	if !addr.IsASCII() && !t.draft.Envelope.SMTPUTF8 {
		return t.refuse(ctx, RuleRecipientUTF8, mail.R(553, "5.6.7", "SMTPUTF8 was not asked for"), addr.String())
	}
	if r := t.named(ctx, addr); !r.IsZero() {
		return r
	}
	read := t.read(addr)
	if r := t.screened(ctx, addr, read.Address); !r.IsZero() {
		return r
	}
	if r := t.circle(ctx, read); !r.IsZero() {
		return r
	}
	j, said := t.decide(ctx, read)
	rcpt := mail.Recipient{Address: read.Address, Notify: t.notify(to.Notify), ORcpt: to.ORcpt}
	part, in := j.Part(rcpt)
	switch {
	case in:
	case j.Action == gate.Relay, j.Action == gate.AcceptLocal:
		// A verdict without its capability, or without a way, can't happen; if it does, it
		// is no permission.
		return t.refuse(ctx, RuleRelayWithoutGrant, mail.R(451, "4.3.0", "try again later"), addr.String())
	default:
		return t.refuseRecipient(ctx, j.Verdict, addr, said, read)
	}
	if t.crowds(rcpt.Address, part.Ways) {
		return t.refuse(ctx, RuleCutThroughAlone, mail.R(452, "4.5.3", "this recipient needs a transaction of its own"), addr.String())
	}
	if r := t.international(ctx, part.Ways); !r.IsZero() {
		return t.refuse(ctx, RuleRecipientInternational, r, addr.String())
	}
	if !t.hold.Take(recipientCost(rcpt, part.Ways)) {
		return t.refuse(ctx, RuleMemory, crowded(), addr.String())
	}
	part.Ways = t.fresh(rcpt, part.Ways)
	if len(t.draft.Deliveries())+len(part.Ways) > t.limit.Deliveries {
		// The aliases of all recipients together reach too many mailboxes.
		return t.refuse(ctx, RuleTooManyDeliveries, mail.R(452, "4.5.3", "too many recipients"), addr.String())
	}
	if r := t.greylisted(ctx, part.Ways, addr); !r.IsZero() {
		return r
	}
	if r, ok := t.allowed(ctx, len(part.Ways), addr); !ok {
		return r
	}
	if r := t.room(ctx, part.Ways, addr); !r.IsZero() {
		return r
	}
	t.add(part)
	t.note(said, readEvidence(read))
	if !slices.Contains(t.rules, j.Rule) {
		t.rules = append(t.rules, j.Rule)
	}
	return mail.R(250, "2.1.5", "recipient ok")
}

// notify is what a recipient's NOTIFY comes to. A stranger is told of no success and
// no delay, by us or by a server behind us: nobody knows who is behind the address.
func (t *transaction) notify(n mail.Notify) mail.Notify {
	if n == 0 || !t.s.anonymous() {
		return n
	}
	if n &^= mail.NotifySuccess | mail.NotifyDelay; n == 0 {
		return mail.NotifyNever
	}
	return n
}

// seenKey is what a transaction has seen: a recipient as it was named, or a way of delivery.
type seenKey struct {
	way    spool.Kind // zero: a recipient
	to     mail.Address
	detail string
}

// wayKey tells one delivery from another.
func wayKey(w spool.Delivery) seenKey {
	if w.Kind == spool.KindLocal {
		// Whether capitals make two mailboxes of one is the server's behind us to say.
		return seenKey{w.Kind, w.Mailbox, w.Detail}
	}
	return seenKey{w.Kind, w.Recipient.Address, ""}
}

// fresh returns what a recipient adds to the message: the ways that are new. Every
// recipient has one at least, so that what became of it is known: that a mailbox gets one
// copy, whichever addresses lead to it, is for delivery to see. Nothing, for one that was
// given before.
func (t *transaction) fresh(r mail.Recipient, ways []spool.Delivery) []spool.Delivery {
	if t.seen[recipientKey(r.Address)] {
		return nil
	}
	fresh := slices.DeleteFunc(slices.Clone(ways), func(w spool.Delivery) bool { return t.seen[wayKey(w)] })
	if len(fresh) == 0 {
		fresh = ways[:min(len(ways), 1)]
	}
	return fresh
}

// add takes a recipient with what it adds; each address once.
func (t *transaction) add(p letter.Part) {
	if t.seen[recipientKey(p.Recipient.Address)] {
		return
	}
	t.seen[recipientKey(p.Recipient.Address)] = true
	for _, w := range p.Ways {
		t.seen[wayKey(w)] = true
		_, cut := t.cutServer(w)
		t.cut = t.cut || cut
	}
	t.draft.Add(p)
}

func recipientKey(a mail.Address) seenKey { return seenKey{to: a} }

func (t *transaction) refuse(ctx context.Context, rule string, r mail.Reply, recipient string) mail.Reply {
	return t.s.refuse(ctx, fact.Fact{
		Rule: rule, Reply: r, Sender: t.draft.Envelope.From.String(), Recipients: []string{recipient},
	})
}

// Abort forgets the transaction; nothing of it was kept anywhere.
func (t *transaction) Abort(ctx context.Context) {
	t.s.message = nil
	t.refusedWatched(ctx)
	t.released(ctx)
	t.hold.End()
}
