package dispatch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/spool"
)

// A message that was just given to a new worker counts once against its destination's
// room, so that whether the next one finds some does not depend on how fast the worker
// begins.
func TestMessageCountsOnceAgainstRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		// Of 16 places one destination may take three: 16 less its own, by shareOfFree.
		w.limits.Workers, w.limits.PerDestination, w.limits.Active = 1, 10, 16
		slow := w.routes["slow.test"]
		slow.fn = func(context.Context, nexthop.Job, mail.Address) mail.Reply {
			time.Sleep(100 * time.Millisecond)
			return mail.R(250, "2.0.0", "ok")
		}
		w.start()
		claims := []spool.Claim{w.put(fresh("x@slow.test")), w.put(fresh("x@slow.test")), w.put(fresh("x@slow.test"))}
		for _, c := range claims { // at once, before a worker began
			w.dispatch.Offer(c)
		}
		later(w.limits.Crowded / 2) // before anybody who was turned away comes again
		if n := slow.attempts(); n != 3 {
			t.Errorf("%d deliveries at once of three for which there is room", n)
		}
		w.queued(0, 0)
		w.stop()
	})
}
