package intake

import (
	"context"

	"sallyport/internal/bind"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// evidenceBinding names what a message that was taken bears of names that are not its
// account's.
const evidenceBinding = "sender binding only reports"

// binding says what becomes of names that are not the account's. Only what our own people
// hand in is ever softened, and only for an account that the message can name as its sender.
func (s *session) binding() bind.Mode {
	d := door(s.conn.Kind)
	if s.in.Binding == nil || s.anonymous() || d != gate.DoorSubmission && d != gate.DoorSendmail || !s.account().Address.IsASCII() {
		return bind.Enforce
	}
	return s.in.Binding()
}

// reportSender takes a message whose envelope sender is ours and not the account's, where
// binding only reports: in the name of the account. Nothing leaves, and nothing comes back,
// to an address that is not its own: the gate is asked about the account's address, and stays
// as strict as ever.
func (t *transaction) reportSender(v gate.Verdict) gate.Verdict {
	a, named := t.draft.Envelope.From.Address()
	if t.binding != bind.Report || v.Rule != gate.RuleSenderNotOwned || !named {
		return v
	}
	used := bind.Use{Where: bind.InEnvelope, Address: a}
	t.notOwned = append(t.notOwned, used)
	if !bind.OnlyOurs([]bind.Use{used}, t.dir.IsOurs) {
		return v
	}
	own := letter.Draft{ID: t.draft.ID, Account: t.draft.Account, Envelope: t.draft.Envelope, Session: t.draft.Session}
	own.Envelope.From = mail.PathOf(t.s.account().Address)
	own.Ownership = t.dir.Ownership(own.Account, own.Envelope.From)
	if now := own.Mail(); now.Action == gate.AcceptLocal {
		t.draft = own
		return now
	}
	return v
}

// reportAuthors softens the verdict about the authors of a header where binding only reports.
func (t *transaction) reportAuthors(v bind.Verdict) bind.Verdict {
	if t.binding != bind.Report {
		return v
	}
	t.notOwned = append(t.notOwned, v.NotOwned...)
	return v.Reported(t.dir.IsOurs)
}

// reported counts the names of a message that is taken although they are not its account's;
// what it returns becomes durable with the message.
func (t *transaction) reported() []store.Mutation {
	if t.s.in.Findings == nil {
		return nil
	}
	return t.s.in.Findings.Used(t.s.account().Address, true, t.dir.IsOurs, t.notOwned...)
}

// keepReported writes by itself what reported returns, of a message that enters no queue.
func (t *transaction) keepReported(ctx context.Context) {
	if t.s.in.Findings != nil {
		t.s.in.Findings.Keep(ctx, t.reported())
	}
}

// refusedNames keeps the names of a message that was refused for one of them.
func (s *session) refusedNames(ctx context.Context, rule string, dir *directory.Snapshot, uses []bind.Use) {
	switch {
	case s.in.Findings == nil:
	case rule == string(gate.RuleSenderNotOwned), rule == string(bind.RuleAuthorNotOwned),
		rule == string(bind.RuleSenderFieldAlien), rule == string(bind.RuleResentNotOwned):
		s.in.Findings.Keep(ctx, s.in.Findings.Used(s.account().Address, false, dir.IsOurs, uses...))
	}
}

// senders returns the fields that name the account as the sender, and their names, where the
// header bears others' names that were taken.
func (t *transaction) senders(v bind.Verdict, a bind.Authors) (names []string, fields []byte) {
	names = v.Missing(a)
	for _, name := range names {
		fields = append(fields, name+": <"+t.s.account().Address.String()+">\r\n"...)
	}
	return names, fields
}

// authorsNotOwned are the authors that are not the account's, of a message that was taken.
func (t *transaction) authorsNotOwned() (all []mail.Address) {
	for _, u := range t.notOwned {
		if u.Where == bind.InFrom {
			all = append(all, u.Address)
		}
	}
	return all
}

// maxReported bounds the names that the fact of one message tells.
const maxReported = 10

// reportedEvidence tells the trace which names were taken.
func (t *transaction) reportedEvidence() (all []fact.Pair) {
	for _, u := range t.notOwned[:min(len(t.notOwned), maxReported)] {
		all = append(all, fact.Pair{Name: evidenceBinding, Value: u.Address.String() + " in " + u.Where.String() + " is not the account's"})
	}
	return all
}
