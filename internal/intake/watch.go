package intake

import (
	"context"
	"crypto/tls"
	"strings"

	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// RuleContained is the rule of a message at whose end its account was contained.
const RuleContained = "account-contained"

// RulePaused is the rule of a message that bears what is paused.
const RulePaused = "shared-paused"

// act is what the session does, for who watches accounts.
func (s *session) act() watch.Act { return s.visit.Act() }

// watched has a message of an account judged, before anybody is told that it is taken, and
// tells of one from outside who proved to be its author. What must be known of the accounts
// then becomes durable with the message.
func (t *transaction) watched(ctx context.Context, c content, size int64) (watch.Judged, error) {
	switch {
	case t.s.in.Watch == nil:
		return watch.Judged{}, nil
	case t.s.anonymous() && t.door == gate.DoorMX && c.judged.Action == Pass:
		// What is kept apart as junk, or held, teaches nothing.
		return t.s.in.Watch.Heard(ctx, c.judged.author, waysOf(t.draft.Deliveries())), nil
	case t.s.anonymous() || !t.submitted():
		return watch.Judged{}, nil
	}
	m := watch.Submission{Act: t.s.act(), ID: t.draft.ID, Invalid: t.invalid, Gist: c.gist, Ways: waysOf(t.draft.Deliveries()), Cause: watch.Cause{
		Sender: t.draft.Envelope.From.String(), MessageID: c.messageID, Recipients: t.recipients(), Size: size,
	}}
	t.invalid = 0 // they are counted with the message
	j := t.s.in.Watch.Submitted(ctx, m)
	switch {
	case j.Contained:
		return j, &errRefused{
			rule:  RuleContained,
			reply: mail.R(550, "5.7.13", "sending is suspended for this account: somebody else seems to use it; contact the postmaster"),
		}
	case j.Fault != nil:
		return j, j.Fault
	case !j.Paused.IsZero():
		return j, errPaused(j)
	}
	return j, nil
}

// errPaused puts off a message that bears what is paused. The account is not to blame, and
// nothing of it is stopped.
func errPaused(j watch.Judged) error {
	what := j.Paused.String()
	return &errRefused{
		rule: RulePaused, evidence: []fact.Pair{{Name: "paused", Value: what}},
		reply: mail.R(451, "4.7.1", "mail with "+what+" is paused: strangers seem to use accounts with it; "+j.Paused.Remedy()),
	}
}

func waysOf(all []spool.Delivery) []watch.Way {
	out := make([]watch.Way, len(all))
	for i, d := range all {
		out[i] = watch.Way{Recipient: d.Recipient.Address, Mailbox: d.Mailbox}
	}
	return out
}

// also puts into the act that makes the message durable what is known of its account.
func also(l *letter.Content, j watch.Judged) { l.Also = append(l.Also, j.Also...) }

// refusedWatched tells who watches how many recipients of a message were refused that never came, or was
// not taken.
func (t *transaction) refusedWatched(ctx context.Context) {
	n := t.invalid
	t.invalid = 0
	if n > 0 && t.s.in.Watch != nil && !t.s.anonymous() {
		t.s.in.Watch.Refused(ctx, t.s.act(), n, n+len(t.draft.Envelope.To))
	}
}

// claimed tells who watches that an envelope sender was refused who is not the account's.
func (s *session) claimed(ctx context.Context, rule string, from mail.ReversePath) {
	if a, ok := from.Address(); ok && rule == string(gate.RuleSenderNotOwned) {
		s.claims(ctx, a)
	}
}

// claims tells who watches that somebody was claimed who is not the account's; the zero
// Address is nobody.
func (s *session) claims(ctx context.Context, a mail.Address) {
	if s.in.Watch != nil && !s.anonymous() && !a.IsZero() {
		s.in.Watch.BindingFailed(ctx, s.act(), a)
	}
}

// program is a client program as far as it can be told apart: by how it names its host, by
// what it agrees on for TLS, and by how it signs in. A name's domain and its digits change with
// the network, and an address altogether, which are no other program.
func program(hello, mechanism string, state *tls.ConnectionState) string {
	name := "an address"
	if !strings.HasPrefix(hello, "[") {
		label, _, _ := strings.Cut(strings.ToLower(hello), ".")
		name = strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return -1
			}
			return r
		}, label)
	}
	if state == nil {
		return name + " " + mechanism
	}
	return name + " " + mechanism + " " + tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
}
