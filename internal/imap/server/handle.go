package server

import (
	"context"
	"strconv"

	imapwire "sallyport/internal/imap/wire"
)

func decimal[T ~int | ~int64 | ~uint32 | ~uint64](n T) string {
	if n < 0 {
		return strconv.FormatInt(int64(n), 10)
	}
	return strconv.FormatUint(uint64(n), 10)
}

// handle answers one command.
func (c *conn) handle(ctx context.Context, cmd imapwire.Command) result {
	if c.missing(cmd.Verb) {
		return bad("this command is not offered")
	}
	switch cmd.Verb {
	case "CAPABILITY":
		c.line("* CAPABILITY ", c.capabilities())
		return ok("that is all")
	case "NOOP":
		return ok("nothing done")
	case "LOGOUT":
		c.line("* BYE logging out")
		return ok("good bye").ending(EndLogout)
	case "STARTTLS":
		return c.startTLS(ctx, cmd.Tag)
	}
	switch a := cmd.Args.(type) {
	case imapwire.ID:
		return c.identify(ctx, a)
	case imapwire.Login:
		return c.login(ctx, a)
	case imapwire.Authenticate:
		return c.authenticate(ctx, a)
	}
	if !c.signedIn {
		return bad("sign in first")
	}
	if a, ok := cmd.Args.(imapwire.Enable); ok {
		return c.enable(ctx, a.Names)
	}
	return bad("unknown command")
}
