package mailbox

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Of any number of readers of one account two are at work at the same time, each gets his turn, and
// who does not wait any more takes none.
func TestReadersTakeTurns(t *testing.T) {
	s := open(t, vfs.Default, t.TempDir())
	var busy, most, done atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for range 200 {
				end, err := s.user.Turn(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				n := busy.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				busy.Add(-1)
				done.Add(1)
				end()
			}
		})
	}
	all.Wait()
	if done.Load() != 32*200 || most.Load() > int64(DefaultLimits().AtWork) {
		t.Errorf("%d turns, %d at the same time", done.Load(), most.Load())
	}
	first, err := s.user.Turn(t.Context())
	check(t, err)
	second, err := s.user.Turn(t.Context())
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		if _, err := s.user.Turn(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a third: %v", err)
		}
	}
	first()
	second()
	if u := &s.user.turns; u.busy != 0 || len(u.waiting) != 0 {
		t.Errorf("%d at work and %d waiting when all have ended", u.busy, len(u.waiting))
	}
}
