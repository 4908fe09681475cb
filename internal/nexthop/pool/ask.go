package pool

import (
	"context"
	"errors"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/smtp/client"
)

// Unreachable says that nobody could be asked, and why.
type Unreachable struct{ Failure }

// Error returns the reply in one line.
func (e *Unreachable) Error() string {
	return e.Remote + ": " + e.Reply.String()
}

// Ask asks the next hop whether it would take mail for the addresses, over a
// connection of the pool, and returns one reply for each, and who gave them. The
// error is an *Unreachable, or one of smtp/client's Verify.
func (h *Hop) Ask(ctx context.Context, to []mail.Address) (replies []mail.Reply, remote string, err error) {
	if err := h.pool.enter(ctx); err != nil {
		return nil, h.o.Name, &Unreachable{Failure{Reply: mail.R(451, "4.3.2", "no connection became free"), Remote: h.o.Name}}
	}
	defer h.pool.leave()
	if c := h.pool.take(); c != nil {
		replies, err := h.question(ctx, c, to)
		var refused *client.ReplyError
		if err == nil || ctx.Err() != nil || errors.As(err, &refused) {
			return replies, c.Remote(), err
		}
		// A question may be asked again, whatever became of a kept connection.
	}
	c, f := h.connect(ctx, nexthop.Job{})
	if c == nil {
		return nil, f.Remote, &Unreachable{f}
	}
	replies, err = h.question(ctx, c, to)
	return replies, c.Remote(), err
}

func (h *Hop) question(ctx context.Context, c *connection, to []mail.Address) ([]mail.Reply, error) {
	replies, err := c.Verify(ctx, to)
	c.used++
	h.pool.learn(err, h.o.Limits.Connections)
	h.pool.keep(c)
	return replies, err
}

// Resting returns why the next hop is left alone at the moment, and whether it is.
func (h *Hop) Resting() (Failure, bool) { return h.pool.resting(h.o.Now()) }
