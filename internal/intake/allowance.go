package intake

import (
	"context"
	"strconv"
	"time"

	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/fact"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// allowed takes so many deliveries off what the account that signed in may still send,
// whichever door it came by: to outsiders and to colleagues alike, after aliases were
// followed. Mail that is merely delivered here is nobody's.
func (t *transaction) allowed(ctx context.Context, deliveries int, to mail.Address) (mail.Reply, bool) {
	if t.s.anonymous() || deliveries == 0 {
		return mail.Reply{}, true
	}
	if t.charge == nil {
		t.charge = t.s.in.Ledger.Charge(ledger.Account(t.s.account().Address))
	}
	// As the account stands now: an operator who gives it more need not end its session.
	account, _ := t.s.in.Accounts.Lookup(t.s.account().Address)
	v, alarm := t.charge.Take(deliveries, t.s.in.Allowance(account))
	if v.OK {
		return mail.Reply{}, true
	}
	if alarm {
		t.alarm(ctx, v)
	}
	r := t.overReply(v)
	if t.over.Rule != string(v.Rule) {
		t.tellOver(ctx)
		t.over = fact.Fact{Rule: string(v.Rule), Sender: t.draft.Envelope.From.String()}
	}
	t.over.Reply, t.over.Text = r, v.Words()
	t.over.Recipients = append(t.over.Recipients, to.String())
	return r, false
}

// tellOver records the recipients of this message that a limit kept out, as one fact: who
// keeps trying must not fill the trace.
func (t *transaction) tellOver(ctx context.Context) {
	if n := len(t.over.Recipients); n > 0 {
		t.s.refused += n - 1
		t.s.refuse(ctx, t.over)
	}
	t.over = fact.Fact{}
}

// overReply tells whoever sends what the limit is and when to come again. It passes by
// itself, so the code is one that programs try again on. RFC 5321 §4.2.1
func (t *transaction) overReply(v budget.Verdict) mail.Reply {
	text := "this account has reached its limit of " + strconv.Itoa(v.Most) + " recipients " + v.Span() + " (" + string(v.Rule) + "); "
	if v.Again.IsZero() {
		return mail.R(451, "4.7.1", text+"this recipient alone stands for more")
	}
	wait := v.Again.Sub(t.s.in.Now()).Round(time.Minute)
	return mail.R(451, "4.7.1", text+"try again in "+strconv.Itoa(max(int(wait/time.Minute), 1))+" minutes")
}

// alarm tells the administrator, once in an hour for each account: an honest person
// hardly ever meets the limit, so that somebody else may have the password.
func (t *transaction) alarm(ctx context.Context, v budget.Verdict) {
	name := t.s.account().Address.String()
	t.s.in.Logger.Warn("an account reached its limit of recipients", "account", name, "rule", string(v.Rule), "limit", v.Most, "recipients", v.Used,
		"peer", peer(t.s.conn).String(), "conn", t.s.conn.ID)
	of := t.s.seen()
	of.Conn = fact.ConnCapped
	t.s.write(ctx, fact.Alarm{
		At: t.s.in.Now(), Rule: string(v.Rule), Session: of, Message: fact.Message{Sender: t.draft.Envelope.From.String()}, Times: v.Used,
		Text:     name + " has " + v.Words() + "; if that is not its owner: sallyport account freeze " + mail.ShellWord(name),
		Evidence: []fact.Pair{{Name: "connection", Value: t.s.conn.ID}},
	}.Fact())
}

// charged puts what the message takes of the account's budget into the act that makes
// it durable.
func (t *transaction) charged(l *letter.Content) {
	l.Also = append(l.Also, t.flow.Mutations()...)
	if t.charge == nil {
		return
	}
	if counted, ok := t.charge.Mutation(); ok {
		l.Also = append(l.Also, counted)
	}
}

// keepCharge writes what the message takes by itself, before servers behind us are
// offered it: it may never enter our queue.
func (t *transaction) keepCharge(ctx context.Context) error {
	if err := t.flow.Keep(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if t.charge == nil {
		return nil
	}
	return t.charge.Keep(context.WithoutCancel(ctx), store.Durable)
}

// sent counts what the message took; released gives it back if it was not sent.
func (t *transaction) sent() {
	if t.charge != nil {
		t.charge.Done()
	}
	t.flow.Done()
}

func (t *transaction) released(ctx context.Context) {
	t.tellOver(ctx)
	if t.charge != nil {
		t.charge.Release()
	}
	t.flow.Release()
}
