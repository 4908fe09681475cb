package node

import (
	"context"

	"sallyport/internal/callout"
)

// buildCallouts makes what asks servers behind us about recipients.
func (n *Node) buildCallouts(_ context.Context, next, last *generation) (err error) {
	if last == nil {
		last = &generation{}
	}
	c, l := next.cfg.Callout, callout.DefaultLimits()
	l.Timeout, l.PositiveTTL, l.Grace, l.NegativeTTL = c.Timeout, c.PositiveTTL, c.Grace, c.NegativeTTL
	l.Entries, l.Rate, l.Waiting = c.Entries, c.Rate, c.Waiting
	next.callouts, err = callout.Build(callout.Options{Limits: l, Now: n.o.Now, Rand: n.o.Rand, Logger: n.log, Journal: n.trace}, last.callouts)
	if err != nil {
		return next.cfg.Fault("callout", err.Error(), "")
	}
	return nil
}
