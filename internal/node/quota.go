package node

import (
	"context"
	"errors"

	"sallyport/internal/budget/quota"
	"sallyport/internal/letter/notify"
	"sallyport/internal/spool"
)

// tendQuota looks at mailboxes, and tells of those that are nearly full.
func (n *Node) tendQuota(ctx context.Context) { n.data.Quota.Run(ctx, n.nearlyFull) }

// ruleNearlyFull is why the letter is written.
const ruleNearlyFull = "mailbox-nearly-full"

// nearlyFull tells the owner of a mailbox, or the postmaster of a domain.
func (n *Node) nearlyFull(ctx context.Context, w quota.Warning) error {
	l := notify.Letter{Rule: ruleNearlyFull, To: w.Account, Subject: w.Subject, Text: w.Text, Marks: w.Marks}
	if l.To.IsZero() {
		l.To = n.post.Postmaster()
	}
	err := n.post.Send(ctx, l)
	if errors.Is(err, notify.ErrNobody) {
		return quota.ErrNobody
	}
	return err
}

// expectQueued counts what waits in the queue for mailboxes of ours, before anything more is let
// in.
func (n *Node) expectQueued(ctx context.Context) {
	if !n.data.Quota.Watches() {
		return
	}
	err := n.data.Spool.List(ctx, spool.Filter{}, func(e spool.Entry) (bool, error) {
		for _, r := range e.Pending() {
			if r.Kind == spool.KindLocal {
				n.data.Quota.Expect(e.ID, r.Mailbox, e.Size)
			}
		}
		return ctx.Err() == nil, nil
	})
	if err != nil {
		n.log.Warn("what waits in the queue is not held against the quota of mailboxes", "err", err)
	}
}
