package queue

import (
	"cmp"
	"context"
	"slices"
	"time"

	"sallyport/internal/spool"
)

const (
	// maxHeldRead bounds how many held messages are looked at for why they are.
	maxHeldRead = 10_000
	// maxHeldReasons bounds the reasons that are told apart, the commonest first.
	maxHeldReasons = 10
)

// HeldReason is why messages are held, until somebody decides.
type HeldReason struct {
	Reason   string    `json:"reason"`
	Messages int       `json:"messages"`
	Oldest   time.Time `json:"oldest"` // received
}

// HeldReasons tells why what is held is held. Nobody else is told of it: a sender whom
// nobody verified must not be, and what an operator took away can be brought back.
func (op *Actions) HeldReasons(ctx context.Context, held int) ([]HeldReason, error) {
	if held == 0 {
		return nil, nil
	}
	yes := true
	by := map[string]*HeldReason{}
	err := op.o.Queue.List(ctx, spool.Filter{Held: &yes, Limit: maxHeldRead}, func(e spool.Entry) (bool, error) {
		m := op.Message(e)
		r := by[m.Reason]
		if r == nil {
			r = &HeldReason{Reason: m.Reason, Oldest: m.Received}
			by[m.Reason] = r
		}
		r.Messages++
		if m.Received.Before(r.Oldest) {
			r.Oldest = m.Received
		}
		return true, nil
	})
	all := make([]HeldReason, 0, len(by))
	for _, r := range by {
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b HeldReason) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Reason, b.Reason))
	})
	return all[:min(len(all), maxHeldReasons)], err
}
