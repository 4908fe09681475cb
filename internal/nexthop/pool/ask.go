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
// connection of the pool, and returns one reply for each, and who gave them. Where one host cannot say,
// and the next hop has another, that is asked as well. The
// error is an *Unreachable, or one of smtp/client's Verify.
func (p *Pool) Ask(ctx context.Context, to []mail.Address) (replies []mail.Reply, remote string, err error) {
	if err := p.all.enter(ctx); err != nil {
		return nil, p.o.Name, &Unreachable{Failure{Reply: mail.R(451, "4.3.2", "no connection became free"), Remote: p.o.Name}}
	}
	defer p.all.leave()
	a := p.ask(ctx, to)
	var nobody *Unreachable
	if !errors.As(a.err, &nobody) {
		a = p.askElsewhere(ctx, to, a)
	}
	return a.replies, a.remote, a.err
}

// ask asks one host of the next hop.
func (p *Pool) ask(ctx context.Context, to []mail.Address) answered {
	if c := p.all.take(); c != nil {
		replies, err := p.question(ctx, c, to)
		var refused *client.ReplyError
		if err == nil || ctx.Err() != nil || errors.As(err, &refused) {
			return answered{replies, c.Remote(), err}
		}
		// A question may be asked again, whatever became of a kept connection.
	}
	c, f := p.connect(ctx, nexthop.Job{})
	if c == nil {
		return answered{remote: f.Remote, err: &Unreachable{f}}
	}
	replies, err := p.question(ctx, c, to)
	return answered{replies, c.Remote(), err}
}

func (p *Pool) question(ctx context.Context, c *connection, to []mail.Address) ([]mail.Reply, error) {
	c.Forgo(p.without(0)...)
	replies, err := c.Verify(ctx, to)
	p.learnOffers(c.Client)
	c.used++
	p.all.learn(err, p.o.Limits.Connections)
	p.all.keep(c)
	return replies, err
}
