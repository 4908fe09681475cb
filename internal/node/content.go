package node

import (
	"context"

	"sallyport/internal/filter"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/returnpath"
)

// buildContent prepares the checks of content.
func (n *Node) buildContent(_ context.Context, next, _ *generation) error {
	o, err := settings.Checks(next.cfg, settings.Intake(next.cfg).Header)
	if err != nil {
		return err
	}
	o.Logger = n.log
	next.checks = filter.NewChecks(o)
	return nil
}

// bounces recognises bounces of mail that was never sent from here.
func (n *Node) bounces() filter.Bounces {
	return filter.Bounces{
		InForce: func() *filter.Checks { return n.now().checks },
		Ours:    func(d mail.Domain) bool { return d == n.config().Hostname || returnpath.Ours(n.book.Snapshot(), d) },
		Return:  func(a mail.Address) bool { return n.data.ReturnPaths.ForForward(n.book.Snapshot(), a) },
		Trace:   n.data.Facts, Now: n.o.Now, Flood: n.flood,
	}
}
