package node

import (
	"context"
	"time"

	"sallyport/internal/callout"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/operate"
)

// callouts is what the server that runs remembers of recipients at servers behind us.
type callouts struct{ n *Node }

var _ operate.Callouts = callouts{}

// Known implements operate.Callouts.
func (c callouts) Known(fn func(operate.Callout) bool) {
	c.n.now().inners.verifier.Remembered(func(r callout.Remembered) bool {
		out := operate.Callout{Address: r.Address, Server: r.Server, State: "refused", Remote: r.Answer.Remote, Asked: r.At.Truncate(time.Second), Again: r.Until.Truncate(time.Second)}
		if r.Answer.Known == callout.Yes {
			out.State = "taken"
		}
		if !r.Answer.Reply.IsZero() {
			out.Reply = r.Answer.Reply.String()
		}
		return fn(out)
	})
}

// Forget implements operate.Callouts.
func (c callouts) Forget(match func(server, address string) bool) int {
	return c.n.now().inners.verifier.Forget(match)
}

// learning is the way to a server behind us; what that refuses at a delivery, for good or
// for want of space, is not taken to be known any more.
type learning struct {
	nexthop.Target
	verifier *callout.Verifier
	server   string
}

// Deliver implements deliver.Target.
func (l learning) Deliver(ctx context.Context, j nexthop.Job) []mail.Outcome {
	out := l.Target.Deliver(ctx, j)
	for i, o := range out {
		if i >= len(j.Recipients) || !endsYes(o.Reply) {
			continue
		}
		asked := j.Recipients[i].Mailbox // as the server behind knows the recipient
		if asked.IsZero() {
			asked = j.Recipients[i].Address
		}
		l.verifier.Refused(l.server, asked)
	}
	return out
}

// endsYes reports whether an outcome contradicts that the server takes mail for the
// recipient: a refusal for good, or a full mailbox (RFC 3463 §3.3, X.2.2), which waits here
// though the server refused for good.
func endsYes(r mail.Reply) bool {
	return r.Class() == mail.ClassPermanent || r.Enhanced == mail.Enhanced{Class: 4, Subject: 2, Detail: 2}
}

// learns wraps the way to a server behind us.
func (in *inners) learns(h directory.Hop, t nexthop.Target) nexthop.Target {
	return learning{t, in.verifier, h.String()}
}
