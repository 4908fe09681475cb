package client

import (
	"context"

	"sallyport/internal/mail"
)

// Verify asks whether the server would take mail from the null sender for each
// address, and sends none: MAIL, RCPT, RSET. The replies are those to RCPT, in the
// order of the addresses; without an error there is one for each of them, positive,
// transient or permanent. A *ReplyError of StageMail is a server that refused the
// null sender, over a connection that is still of use; after any other error it is
// of none.
func (cl *Client) Verify(ctx context.Context, to []mail.Address) ([]mail.Reply, error) {
	cl.turn.Lock()
	defer cl.turn.Unlock()
	env := mail.Envelope{From: mail.NullPath(), To: make([]mail.Recipient, len(to))}
	for i, a := range to {
		env.To[i] = mail.Recipient{Address: a}
	}
	t := newTransaction(cl, env, -1)
	defer context.AfterFunc(ctx, func() { cl.c.fail(interrupted(ctx)) })()
	if err := t.question(); err != nil {
		return nil, err
	}
	replies := make([]mail.Reply, len(to))
	for i, o := range t.out {
		switch {
		case t.accepted[i]:
			replies[i] = mail.R(250, "2.1.5", "recipient ok")
		case o.Reply.IsZero():
			replies[i] = mail.R(451, "4.3.0", "the server gave no answer")
		default:
			replies[i] = o.Reply
		}
	}
	return replies, nil
}

// question is a transaction that ends before DATA.
func (t *transaction) question() error {
	cl := t.cl
	if t.needsUTF8() && !cl.caps.Has("SMTPUTF8") {
		t.decideAll(noUTF8())
		return nil
	}
	from, err := mailCommand(cl.caps, t.env, t.size)
	if err != nil {
		return err
	}
	rcpts := t.recipients()
	if rcpts == nil {
		return nil
	}
	if !cl.usable() {
		cl.c.fail(ErrClosed)
		return cl.c.fault(StageIdle)
	}
	cl.sent++
	reset := command{stage: StageReset, line: []byte("RSET\r\n")}
	var commands []command
	if cl.dirty {
		commands = append(commands, reset)
	}
	commands = append(append(commands, command{stage: StageMail, line: from}), append(rcpts, reset)...)
	if err := t.envelope(commands); err != nil {
		return err
	}
	if t.signedOut {
		cl.c.fail(ErrSignedOut)
		return &ConnError{Stage: StageMail, Err: ErrSignedOut}
	}
	if !t.mailOK {
		return &ReplyError{Reply: t.out[0].Reply, Stage: StageMail}
	}
	return nil
}
