package dispatch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// What waits for its turn goes by the directory of that moment: to a route that
// changed meanwhile, and not to the one that is gone. Nothing is counted as an
// attempt, and what has begun goes on.
func TestARouteChangesWhileAMessageWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits.Workers = 1
		w.routes["slow.test"].fn = func(context.Context, nexthop.Job, mail.Address) mail.Reply {
			time.Sleep(time.Minute)
			return mail.R(250, "2.0.0", "ok")
		}
		w.routes["new.test"] = newTarget("new.test")
		w.start()
		w.send(fresh("x@slow.test"))
		w.send(fresh("y@slow.test"))
		w.send(fresh("z@slow.test"))
		s, err := directory.NewSnapshot(directory.Config{
			Hostname: addr("x@mx.local.test").Domain(), Detail: '+',
			Domains: []directory.Domain{{Name: addr("x@local.test").Domain(), Deliver: directory.DeliverMaildir}},
			Routes:  []directory.Route{{Domain: addr("x@slow.test").Domain(), Host: "new.test", Port: 25, TLS: mail.TLSRequired}},
		}, []mail.Address{addr("alice@local.test")})
		must(t, err)
		synctest.Wait() // until the first one is on its way
		w.dir.Store(s)
		later(3 * time.Minute)
		w.queued(0, 0)
		for who, where := range map[string]string{"x@slow.test": "slow.test", "y@slow.test": "new.test", "z@slow.test": "new.test"} {
			if g := w.routes[where]; g.times(who) != 1 {
				t.Errorf("%s did not arrive at %s: %v", who, where, g.arrived)
			}
		}
		for _, j := range w.routes["new.test"].jobs {
			if j.Attempt != 1 {
				t.Errorf("attempt %d", j.Attempt)
			}
		}
		w.stop()
	})
}
