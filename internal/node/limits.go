package node

import (
	"context"

	"sallyport/internal/kit/memory"
	"sallyport/internal/node/settings"
)

// buildLimits checks the bounds of what lives longer than a configuration, and adjusts
// them. The bounds of the doors are in their own configurations.
func (n *Node) buildLimits(_ context.Context, next, _ *generation) error {
	cfg := next.cfg
	if err := settings.Retry(cfg).Validate(); err != nil {
		return err
	}
	next.then = append(next.then, func() {
		n.doors.Memory().Adjust(cfg.Limits.UnjudgedMemory)
		signIns := settings.Accounts(cfg, n.o.Processors.Count())
		n.o.Processors.Beside(signIns.HashAtOnce)
		n.log.Debug("memory limit", "octets", memory.Limit(cfg.Limits.Memory))
		n.data.Disks.Reserve(cfg.Limits.Free())
		n.desk.Adjust(settings.SignIn(cfg))
		n.intake.Adjust(settings.Intake(cfg), cfg.Notice)
		n.data.Inflow.Adjust(settings.Inflow(cfg))
		n.data.Quota.Adjust(settings.Quota(cfg, n.book.Snapshot, n.data.Accounts.Lookup))
		n.data.Greylist.Adjust(settings.Greylist(cfg))
		n.outflow.Adjust(settings.Retry(cfg), settings.Dispatch(cfg))
		// What was checked does not fail; if it does, the former bounds stay.
		for _, err := range []error{
			n.data.Spool.Adjust(settings.Retry(cfg), settings.Spool(cfg)),
			n.data.Accounts.Adjust(signIns, settings.Mechanisms(cfg)),
			n.data.Trace.Adjust(settings.Trace(cfg)),
			n.data.Mail.Adjust(settings.Mailbox(cfg)),
		} {
			if err != nil {
				n.log.Error("bounds not adjusted", "err", err)
			}
		}
	})
	return nil
}
