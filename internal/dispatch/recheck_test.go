package dispatch_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// slowly is another server that has read a part of a message and takes its time for the rest.
type slowly struct {
	whole      bool // it has read to the end
	ended, cut *atomic.Int64
}

func (s slowly) Deliver(ctx context.Context, j nexthop.Job) []mail.Outcome {
	defer s.ended.Add(1)
	r, err := j.Open()
	if err != nil {
		return j.All(mail.R(451, "4.3.0", "not opened"), "here")
	}
	defer r.Close()
	if s.whole {
		_, _ = io.Copy(io.Discard, r)
	} else {
		_, _ = r.Read(make([]byte, 1))
	}
	select {
	case <-ctx.Done():
		s.cut.Add(1)
		return j.All(mail.R(451, "4.4.2", "cut"), "here")
	case <-time.After(10 * time.Second):
		return j.All(mail.R(250, "2.0.0", "ok"), "mx")
	}
}

// A delivery under way of an account that may not send any more is cut when that is said, and stays
// queued as if it had not been tried; not one whose end is on its way, nor another account's, nor
// that of one that may.
func TestRecheckCutsWhatMayNotLeave(t *testing.T) {
	for name, row := range map[string]struct {
		freeze, whole bool
		whose         string
		cut           int64
	}{
		"frozen":                    {true, false, "alice@local.test", 2},
		"frozen at its end":         {true, true, "alice@local.test", 0},
		"frozen, and another asked": {true, false, "älice@local.test", 0},
		"active":                    {false, false, "alice@local.test", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var ended, cut atomic.Int64
				w.outside = func(mail.Address) (nexthop.Target, bool) { return slowly{row.whole, &ended, &cut}, true }
				w.start()
				id := w.send(fresh("x@one.test", "y@two.test"))
				later(time.Second)
				if row.freeze {
					w.freeze()
				}
				w.dispatch.Recheck(addr(row.whose))
				later(time.Second)
				if cut.Load() != row.cut || ended.Load() != row.cut {
					t.Errorf("%d deliveries are cut, %d ended, want %d", cut.Load(), ended.Load(), row.cut)
				}
				later(time.Minute)
				e, queued := w.entry(id)
				if queued != (row.cut > 0) {
					t.Errorf("queued %v", queued)
				}
				for _, r := range e.Recipients {
					if !r.Last.IsZero() {
						t.Errorf("what was cut counts as tried: %+v", r)
					}
				}
				w.stop()
			})
		})
	}
}
