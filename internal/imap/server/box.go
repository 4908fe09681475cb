package server

import (
	"context"

	imapwire "sallyport/internal/imap/wire"
)

// box is the mailbox that is selected.
type box struct{}

func (c *conn) leave() {}

func (c *conn) news(context.Context, imapwire.Command) {}

func (c *conn) heed(context.Context) {}

func (c *conn) append(_ context.Context, _ imapwire.Append, _ *imapwire.Fault, lit imapwire.Literal) (result, string) {
	return c.tooBig(nil, lit)
}
