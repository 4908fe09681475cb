package letters

import (
	"context"
	"errors"

	"sallyport/internal/budget/quota"
	"sallyport/internal/letter/notify"
)

// tendQuota looks at mailboxes, and tells of those that are nearly full.
func (l *Letters) tendQuota(ctx context.Context) { l.o.Data.Quota.Run(ctx, l.nearlyFull) }

// RuleNearlyFull is why the letter is written.
const RuleNearlyFull = "mailbox-nearly-full"

// nearlyFull tells the owner of a mailbox, or the postmaster of a domain.
func (l *Letters) nearlyFull(ctx context.Context, w quota.Warning) error {
	one := notify.Letter{Rule: RuleNearlyFull, To: w.Account, Subject: w.Subject, Text: w.Text, Marks: w.Marks}
	if one.To.IsZero() {
		one.To = l.post.Postmaster()
	}
	err := l.post.Send(ctx, one)
	if errors.Is(err, notify.ErrNobody) {
		return quota.ErrNobody
	}
	return err
}
