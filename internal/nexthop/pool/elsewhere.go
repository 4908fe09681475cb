package pool

import (
	"context"
	"errors"
	"slices"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/smtp/client"
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
	if p.o.Elsewhere == nil || ctx.Err() != nil {
		return out
	}
	due := how == stale || j.Attempt >= deferredTwice
	var some []int
	for i, o := range out {
		// Whose transaction was full, or met an offer that was not kept, is sent in another one.
		if o.Deferred() && o.Remote == remote && !tooMany(o.Reply) && !client.OfferUnkept(o) && (due || p.o.AtOnce && o.Said && !ofMailbox(o.Reply)) {
			some = append(some, i)
		}
	}
	if len(some) == 0 {
		return out
	}
	part := partOf(j, some)
	p.all.giveWay(p.room())
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

// ofMailbox reports whether an answer is about the mailbox, which is the same behind every host of a next
// hop. RFC 3463 §3.3
func ofMailbox(r mail.Reply) bool { return r.Enhanced.Subject == 2 }

// askElsewhere asks another host what one, named by its remote, could not say of recipients, or put off. As of
// messages, only what the other one takes counts.
func (p *Pool) askElsewhere(ctx context.Context, to []mail.Address, first answered) answered {
	if p.o.Elsewhere == nil || ctx.Err() != nil || !first.open() {
		return first
	}
	p.all.giveWay(p.room())
	c := p.o.Elsewhere(ctx, nexthop.Job{}, first.remote)
	if c == nil {
		return first
	}
	defer func() { go quit(&connection{Client: c}) }()
	replies, err := c.Verify(ctx, to)
	if err != nil {
		return first
	}
	out := answered{replies: slices.Clone(first.replies), remote: first.remote}
	if first.err != nil {
		out.replies = replies
	}
	for i, r := range replies {
		switch {
		case r.OK():
			out.replies[i], out.remote = r, c.Remote()
		case first.err != nil:
			return first
		}
	}
	return out
}

// answered is what a host said of recipients, or why it said nothing.
type answered struct {
	replies []mail.Reply
	remote  string
	err     error
}

// open reports whether another host may know more.
func (a answered) open() bool {
	var refused *client.ReplyError
	if errors.As(a.err, &refused) {
		return refused.Reply.Class() == mail.ClassTransient
	}
	return a.err != nil || slices.ContainsFunc(a.replies, func(r mail.Reply) bool {
		return r.Class() == mail.ClassTransient && !ofMailbox(r)
	})
}
