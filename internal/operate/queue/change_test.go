package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sallyport/internal/operate"
	"sallyport/test/operator"
)

// Much work tells how far it came; interrupted, it leaves each message either changed
// or as it was, and may be repeated.
func TestManyChangesTellAndMayBeInterrupted(t *testing.T) {
	const many = 300
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := operator.New(t)
			c := w.Clients(t)[way]
			for range many {
				w.Put(t, "alice@local.test")
			}
			w.Queue.Slow.Store(int64(20 * time.Millisecond))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			told := 0
			all := operate.QueueChange{Select: operate.Select{All: true}, Tell: func(now operate.QueueChanged) { told = now.Count; cancel() }}
			_, err := c.QueueHold(ctx, all)
			if err == nil || told == 0 || told >= many {
				t.Fatalf("interrupted after %d: %v", told, err)
			}
			// What was under way when it was interrupted may still end.
			before := 0
			for now := w.Spool.Stats().Held; now != before; now = w.Spool.Stats().Held {
				before = now
				time.Sleep(300 * time.Millisecond)
			}
			if before < told || before == many {
				t.Errorf("%d are held, %d were told", before, told)
			}
			w.Queue.Slow.Store(0)
			all.Tell = nil
			changed, err := c.QueueHold(t.Context(), all)
			if err != nil || changed.Count != many-before || changed.Unchanged != before || w.Spool.Stats().Held != many {
				t.Errorf("again: %+v, %v; %d held", changed, err, w.Spool.Stats().Held)
			}
		})
	}
}

// One message that cannot be changed ends the work with its error.
func TestAChangeThatFailsEndsTheWork(t *testing.T) {
	w := operator.New(t)
	for range 50 {
		w.Put(t, "alice@local.test")
	}
	w.Queue.Fails = errors.New("the disk is gone")
	changed, err := w.QueueHold(t.Context(), operate.Self(), operate.QueueChange{Select: operate.Select{All: true}})
	if err == nil || changed.Count != 0 || err.Error() != "the disk is gone" {
		t.Errorf("%+v, %v", changed, err)
	}
}
