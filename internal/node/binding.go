package node

import (
	"context"

	"sallyport/internal/bind"
)

// binding says what becomes of names that are not the account's.
func (n *Node) binding() bind.Mode { return n.config().Submission.SenderBinding }

// buildBinding says so loudly, at each start and reload, where the configuration only reports.
func (n *Node) buildBinding(_ context.Context, next, _ *generation) error {
	if next.cfg.Submission.SenderBinding == bind.Report {
		next.then = append(next.then, func() {
			n.log.Warn("sender binding only reports: every account may write as any address of this server", "key", "submission.sender_binding", "hint", "review with: sallyport binding ls, and turn it off soon")
		})
	}
	return nil
}
