package main

import (
	"context"
	"strconv"

	"sallyport/internal/mail"
	"sallyport/internal/operate"
)

type sessionsCommand struct {
	configFlag
	jsonFlag
	Account string `arg:"" optional:"" help:"Those of this account alone."`
}

// Help shows examples.
func (sessionsCommand) Help() string {
	return `Only connections to which somebody signed in are listed, at the doors for mail
clients and at that of sendmail.

Examples:
  sallyport sessions
  sallyport sessions alice@example.org --json`
}

// lastSignIn says when and whence an account signed in last.
func lastSignIn(l *operate.LastSignIn) string {
	switch {
	case l == nil:
		return "none that the trace still has"
	case l.Peer == "":
		return moment(l.At) + " at " + l.Door
	}
	return moment(l.At) + " at " + l.Door + " from " + l.Peer
}

// openSessions says how many are open.
func openSessions(a operate.Account) string {
	if len(a.Sessions) == 0 {
		return "none"
	}
	return strconv.Itoa(len(a.Sessions)) + "; see: sallyport sessions " + mail.ShellWord(a.Address)
}

// Run lists the open sessions.
func (s sessionsCommand) Run(ctx context.Context, c console) error {
	return s.operate(ctx, c, func(o *operate.Client) error {
		t, n := newTable(c, "ACCOUNT", "SINCE", "DOOR", "FROM", "CONN", "HELLO", "TLS"), 0
		err := o.Sessions(ctx, operate.SessionsAsk{Account: s.Account}, func(v operate.Session) error {
			n++
			if s.JSON {
				return printJSON(c.out, v)
			}
			t.row(v.Account, moment(v.Since), v.Door, dash(v.Peer), v.Conn, dash(v.Hello), dash(v.TLS))
			return nil
		})
		switch {
		case err != nil || s.JSON:
			return err
		case n == 0:
			c.printf("nobody is signed in\n")
			return nil
		}
		return t.flush()
	})
}
