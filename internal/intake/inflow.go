package intake

import (
	"context"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/server"
	"sallyport/internal/spool"
)

// source is who brings what this session sends.
func (s *session) source() inflow.Source {
	if s.anonymous() {
		return inflow.Stranger(peer(s.conn))
	}
	return inflow.Account(s.account().Address)
}

// tooMany turns a connection away whose network opens too many, on port 25 alone: where our
// people sign in, guesses and handshakes have bounds of their own. The zero Reply goes on.
func (s *session) tooMany(ctx context.Context) mail.Reply {
	if s.conn.Kind != server.KindMX {
		return mail.Reply{}
	}
	if s.exempt = s.in.Screen != nil && s.in.Screen.Exempts(peer(s.conn)); s.exempt {
		return mail.Reply{}
	}
	v := s.in.Inflow.Connect(peer(s.conn))
	if v.OK {
		return mail.Reply{}
	}
	return s.refuse(ctx, fact.Fact{Rule: string(v.Rule), Reply: v.Reply(), Text: v.Words()})
}

// named counts a recipient that a stranger names, whoever that is. The zero Reply goes on.
func (t *transaction) named(ctx context.Context, to mail.Address) mail.Reply {
	if !t.s.anonymous() || t.s.exempt {
		return mail.Reply{}
	}
	return t.full(ctx, t.s.in.Inflow.Recipient(peer(t.s.conn)), to)
}

// room takes what a recipient adds to what its mailboxes take and its sender's network brings.
// What leaves for others has no mailbox here. The zero Reply goes on.
func (t *transaction) room(ctx context.Context, ways []spool.Delivery, to mail.Address) mail.Reply {
	var mailboxes, within []mail.Address
	for _, w := range ways {
		if w.Kind != spool.KindLocal {
			continue
		}
		mailboxes = append(mailboxes, w.Mailbox)
		if t.stays(w, to) {
			within = append(within, w.Mailbox)
		}
	}
	if len(mailboxes) == 0 {
		return mail.Reply{}
	}
	v := t.flow.AddWithin(ctx, within, mailboxes...)
	if !v.OK && t.charge != nil {
		t.charge.Give(len(ways))
	}
	return t.full(ctx, v, to)
}

// placed takes the message's places in what its mailboxes take and its network brings, now that it
// is complete: parallel sessions may have asked for the same ones.
func (t *transaction) placed() error {
	v := t.flow.Place()
	if v.OK {
		return nil
	}
	return &errRefused{rule: string(v.Rule), reply: v.Reply(), found: v.Words()}
}

// stays reports whether a delivery must find room in its mailbox. One that is sent on and leaves no
// copy needs none, and who writes to a postmaster gets through (RFC 5321 §4.5.1): about a
// full mailbox, say.
func (t *transaction) stays(w spool.Delivery, to mail.Address) bool {
	if directory.IsRole(to) {
		return false
	}
	f, forwards := t.dir.Forwards(w.Mailbox)
	return !forwards || f.Keep
}

// full is the answer of a verdict about a recipient; the zero Reply goes on.
func (t *transaction) full(ctx context.Context, v inflow.Verdict, to mail.Address) mail.Reply {
	if v.OK {
		return mail.Reply{}
	}
	return t.s.refuse(ctx, fact.Fact{
		Rule: string(v.Rule), Reply: v.Reply(), Sender: t.draft.Envelope.From.String(),
		Recipients: []string{to.String()}, Text: v.Words(),
	})
}
