package pool

import (
	"context"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// deferredTwice is the number of the attempt from which on another host is asked about what one defers by its
// answer: many want a second attempt and take it then, and all hosts of such a domain do alike.
const deferredTwice = 2

// elsewhere offers what one host of the next hop, named by its remote, defers to another one, once in a
// transaction, and returns what the recipients have come to. RFC 5321 §5.1 has every exchanger tried until
// one takes the message. A host that ended the conversation before the message began has not judged it,
// and so another is asked at once.
//
// What the other host refuses is not final: the first one, which is the better, may yet take it.
func (p *Pool) elsewhere(ctx context.Context, j nexthop.Job, out []mail.Outcome, remote string, how end) []mail.Outcome {
	if p.o.Elsewhere == nil || ctx.Err() != nil || how != stale && j.Attempt < deferredTwice {
		return out
	}
	var some []int
	for i, o := range out {
		// Whose transaction was full is sent in another one.
		if o.Deferred() && o.Remote == remote && !tooMany(o.Reply) {
			some = append(some, i)
		}
	}
	if len(some) == 0 {
		return out
	}
	part := partOf(j, some)
	c := p.o.Elsewhere(ctx, part, remote)
	if c == nil {
		return out
	}
	// It is not kept: it leads to a host that comes after the first.
	defer func() { go quit(&connection{Client: c}) }()
	p.log(j).Info("deferred, and offered to another host", "remote", remote, "reply", out[some[0]].Reply.String(), "other", c.Remote())
	later, _, _ := p.offer(ctx, c, part) // what the error says, the outcomes say
	for n, o := range later {
		if o.Delivered() {
			out[some[n]] = o
		}
	}
	return out
}
