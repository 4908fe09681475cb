package operate

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/spool"
)

// faultyQueue is a queue that is slow or fails to hold.
type faultyQueue struct {
	*spool.Spool
	slow  atomic.Int64 // as a time.Duration
	fails error
}

// Hold holds, slowly, or fails.
func (q *faultyQueue) Hold(ctx context.Context, f spool.Filter, reason string, facts [][]byte) (int, error) {
	if q.fails != nil {
		return 0, q.fails
	}
	time.Sleep(time.Duration(q.slow.Load()))
	return q.Spool.Hold(ctx, f, reason, facts)
}

// Much work tells how far it came; interrupted, it leaves each message either changed
// or as it was, and may be repeated.
func TestManyChangesTellAndMayBeInterrupted(t *testing.T) {
	const many = 300
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			c := clients(t, w.Operator)[way]
			for range many {
				w.put(t, "alice@local.test")
			}
			w.queue.slow.Store(int64(20 * time.Millisecond))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			told := 0
			all := QueueChange{Select: Select{All: true}, Tell: func(now QueueChanged) { told = now.Count; cancel() }}
			_, err := c.QueueHold(ctx, all)
			if err == nil || told == 0 || told >= many {
				t.Fatalf("interrupted after %d: %v", told, err)
			}
			// What was under way when it was interrupted may still end.
			before := 0
			for now := w.spool.Stats().Held; now != before; now = w.spool.Stats().Held {
				before = now
				time.Sleep(300 * time.Millisecond)
			}
			if before < told || before == many {
				t.Errorf("%d are held, %d were told", before, told)
			}
			w.queue.slow.Store(0)
			all.Tell = nil
			changed, err := c.QueueHold(t.Context(), all)
			if err != nil || changed.Count != many-before || changed.Unchanged != before || w.spool.Stats().Held != many {
				t.Errorf("again: %+v, %v; %d held", changed, err, w.spool.Stats().Held)
			}
		})
	}
}

// One message that cannot be changed ends the work with its error.
func TestAChangeThatFailsEndsTheWork(t *testing.T) {
	w := newWorld(t)
	for range 50 {
		w.put(t, "alice@local.test")
	}
	w.queue.fails = errors.New("the disk is gone")
	changed, err := w.QueueHold(t.Context(), Self(), QueueChange{Select: Select{All: true}})
	if err == nil || changed.Count != 0 || err.Error() != "the disk is gone" {
		t.Errorf("%+v, %v", changed, err)
	}
}
