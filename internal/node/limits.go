package node

import (
	"context"

	"sallyport/internal/kit/memory"
	"sallyport/internal/node/settings"
	"sallyport/internal/node/settings/bounds"
)

// buildLimits checks the bounds of what lives longer than a configuration, and adjusts
// them. The bounds of the doors are in their own configurations.
func (n *Node) buildLimits(_ context.Context, next, _ *generation) error {
	cfg := next.cfg
	if err := bounds.Retry(cfg).Validate(); err != nil {
		return err
	}
	next.then = append(next.then, func() {
		n.doors.Memory().Adjust(cfg.Limits.UnjudgedMemory)
		signIns := bounds.Accounts(cfg, n.o.Processors.Count())
		n.o.Processors.Beside(signIns.HashAtOnce)
		n.log.Debug("memory limit", "octets", n.memory.Limit(cfg.Limits.Memory))
		n.data.Disks.Reserve(cfg.Limits.Free())
		n.desk.Adjust(bounds.SignIn(cfg))
		n.intake.Adjust(bounds.Intake(cfg), cfg.Notice)
		n.data.Inflow.Adjust(bounds.Inflow(cfg))
		n.data.Quota.Adjust(bounds.Quota(cfg, n.book.Snapshot, n.data.Accounts.Lookup))
		n.data.Greylist.Adjust(bounds.Greylist(cfg))
		n.outflow.Adjust(bounds.Retry(cfg), bounds.Dispatch(cfg))
		// What was checked does not fail; if it does, the former bounds stay.
		for _, err := range []error{
			n.data.Spool.Adjust(bounds.Retry(cfg), bounds.Spool(cfg)),
			n.data.Accounts.Adjust(signIns, settings.Mechanisms(cfg)),
			n.data.Trace.Adjust(bounds.Trace(cfg)),
			n.data.Mail.Adjust(bounds.Mailbox(cfg)),
		} {
			if err != nil {
				n.log.Error("bounds not adjusted", "err", err)
			}
		}
	})
	return nil
}

// watchMemory has the doors take less while memory is short, until ctx ends.
func (n *Node) watchMemory(ctx context.Context) {
	open := func() int { c := n.doors.Count(); return c.Posting + c.Reading }
	n.memory.Run(ctx, open, func(l memory.Level, alive, limit int64) {
		n.doors.Narrow(l)
		switch l {
		case memory.Enough:
			n.log.Info("there is memory again", "octets", alive, "limit", limit)
		case memory.Short:
			n.log.Warn("memory is short: strangers are told to come back", "octets", alive, "limit", limit)
		default:
			n.log.Warn("there is no memory left: everybody is told to come back", "octets", alive, "limit", limit)
		}
	})
}
