package callout

import (
	"context"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// Learning returns the way to a server of that name; of whom it refuses at a delivery, for
// good or for want of space, it is not known any more that mail for that recipient is taken.
func (v *Asker) Learning(server string, t nexthop.Target) nexthop.Target {
	return learning{t, v, server}
}

type learning struct {
	nexthop.Target
	asker  *Asker
	server string
}

// Deliver implements nexthop.Target.
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
		l.asker.Refused(l.server, asked)
	}
	return out
}

// endsYes reports whether an outcome contradicts that the server takes mail for the
// recipient: a refusal for good, or a full mailbox (RFC 3463 §3.3, X.2.2), which waits here
// though the server refused for good.
func endsYes(r mail.Reply) bool {
	return r.Class() == mail.ClassPermanent || r.Enhanced == mail.Enhanced{Class: 4, Subject: 2, Detail: 2}
}
