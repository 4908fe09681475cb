package intake

import (
	"context"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/smtpd"
	"sallyport/internal/smtpwire"
	"sallyport/internal/spool"
	"sallyport/internal/trace"
)

// transaction is one message in the making. It is dropped whole: nothing of it
// outlives Abort, and the session keeps no part of it.
type transaction struct {
	s     *session
	id    mail.ID
	dir   *directory.Snapshot // one for the whole transaction
	facts gate.Facts
	env   mail.Envelope

	deliveries []spool.Delivery
	seen       map[string]bool // recipients by key, and mailboxes
	grants     []gate.Grant
	rule       gate.Rule // of the last accepted recipient
}

var _ smtpd.Transaction = (*transaction)(nil)

// Mail decides whether this session may use the envelope sender.
func (s *session) Mail(ctx context.Context, env mail.Envelope) (smtpd.Transaction, mail.Reply) {
	id, err := mail.NewID(s.in.Now(), s.in.Rand)
	if err != nil {
		s.in.Logger.Error("no chance for a queue id", "err", err)
		return nil, mail.R(451, "4.3.0", "try again later")
	}
	tx := &transaction{s: s, id: id, dir: s.in.Directory(), env: env, facts: s.facts(), seen: map[string]bool{}}
	tx.facts.Ownership = tx.dir.Ownership(s.account.Address, env.From)
	v := gate.DecideMail(tx.facts)
	if v.Action == gate.AcceptLocal {
		return tx, mail.R(250, "2.1.0", "sender ok")
	}
	f := trace.Fact{Rule: string(v.Rule), Reply: v.Reply, Sender: env.From.String()}
	return nil, s.refuse(ctx, f)
}

// Rcpt decides one recipient.
func (t *transaction) Rcpt(ctx context.Context, to smtpwire.RcptParams) mail.Reply {
	// RFC 5321 §4.5.1: a bare postmaster is this host's.
	addr, err := to.To.At(t.dir.Hostname())
	if err != nil {
		return t.refuse(ctx, "recipient-syntax", mail.R(501, "5.1.3", "no recipient address"), to.To.String())
	}
	if !addr.IsASCII() && !t.env.SMTPUTF8 {
		return t.refuse(ctx, "recipient-utf8", mail.R(553, "5.6.7", "SMTPUTF8 was not asked for"), addr.String())
	}
	class := t.dir.Classify(addr)
	f := t.facts
	f.Destination = class.Destination
	v := gate.Decide(f, gate.Subject{Transaction: t.id, Account: t.s.account.Address, Sender: t.env.From, Recipient: addr})
	rcpt := mail.Recipient{Address: addr, Notify: to.Notify, ORcpt: to.ORcpt}
	switch v.Action {
	case gate.AcceptLocal:
		t.addLocal(rcpt, class.Mailboxes)
	case gate.Relay:
		grant, ok := v.Grant()
		if !ok {
			// A relay verdict without its capability can't happen; if it does, it
			// is no permission.
			return t.refuse(ctx, "relay-without-grant", mail.R(451, "4.3.0", "try again later"), addr.String())
		}
		t.addOutbound(rcpt, grant)
	default:
		return t.refuse(ctx, string(v.Rule), v.Reply, addr.String())
	}
	if len(t.deliveries) > t.s.in.Limits.Deliveries {
		// The aliases of all recipients together reach too many mailboxes.
		return t.refuse(ctx, "too-many-deliveries", mail.R(452, "4.5.3", "too many recipients"), addr.String())
	}
	t.rule = v.Rule
	return mail.R(250, "2.1.5", "recipient ok")
}

func (t *transaction) addLocal(r mail.Recipient, boxes []directory.Mailbox) {
	for _, box := range boxes {
		key := "mailbox " + box.Account.Key() + " " + box.Detail
		if t.seen[key] {
			continue
		}
		t.seen[key] = true
		t.deliveries = append(t.deliveries, spool.Delivery{Recipient: r, Kind: spool.KindLocal, Mailbox: box.Account, Detail: box.Detail})
	}
	t.addRecipient(r)
}

func (t *transaction) addOutbound(r mail.Recipient, g gate.Grant) {
	if t.seen["remote "+r.Address.String()] {
		return
	}
	t.seen["remote "+r.Address.String()] = true
	t.deliveries = append(t.deliveries, spool.Delivery{Recipient: r, Kind: spool.KindOutbound})
	t.grants = append(t.grants, g)
	t.addRecipient(r)
}

// addRecipient adds to the envelope each address once.
func (t *transaction) addRecipient(r mail.Recipient) {
	key := "recipient " + r.Address.String()
	if !t.seen[key] {
		t.seen[key] = true
		t.env.To = append(t.env.To, r)
	}
}

func (t *transaction) refuse(ctx context.Context, rule string, r mail.Reply, recipient string) mail.Reply {
	return t.s.refuse(ctx, trace.Fact{
		Rule: rule, Reply: r, Sender: t.env.From.String(), Recipients: []string{recipient},
	})
}

// Abort forgets the transaction; nothing of it was kept anywhere.
func (t *transaction) Abort(context.Context) {}
