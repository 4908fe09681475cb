package dispatch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/dispatch"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/spool"
)

// An operator may remove a message while it is being delivered. What other servers say of it then stands in the trace all
// the same, and whoever watches its account is told.
func TestTakenAwayWhileItLeaves(t *testing.T) {
	for name, row := range map[string]struct {
		crowded bool // one of its deliveries has not begun when it is removed
		want    map[string]string
	}{
		"all under way": {false, map[string]string{"x@slow.test": fact.RuleDelivered, "y@remote.test": fact.RuleFailed}},
		"one waited":    {true, map[string]string{"y@remote.test": fact.RuleFailed}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.limits.Workers = 1
				w.routes["slow.test"].fn = func(context.Context, nexthop.Job, mail.Address) mail.Reply {
					time.Sleep(time.Minute)
					return mail.R(250, "2.0.0", "ok")
				}
				w.routes["remote.test"].fn = func(context.Context, nexthop.Job, mail.Address) mail.Reply {
					time.Sleep(time.Second)
					return mail.R(550, "5.1.1", "nobody")
				}
				var told dispatch.Answers
				w.answered = func(_ context.Context, a dispatch.Answers) {
					told.Taken, told.Refused = told.Taken+a.Taken, append(told.Refused, a.Refused...)
				}
				w.start()
				if row.crowded {
					w.send(fresh("first@slow.test"))
				}
				id := w.send(fresh("x@slow.test", "y@remote.test"))
				later(10 * time.Second)
				if n, err := w.spool.Remove(t.Context(), spool.Filter{IDs: []mail.ID{id}}, nil); n != 1 || err != nil {
					t.Fatalf("removed %d: %v", n, err)
				}
				later(time.Hour)
				got := map[string]string{}
				for _, f := range w.facts(fact.KindOutcome) {
					if f.Queue == id {
						for _, to := range f.Recipients {
							got[to] += f.Rule
						}
					}
				}
				if len(got) != len(row.want) {
					t.Errorf("the trace has %v", got)
				}
				for to, rule := range row.want {
					if got[to] != rule {
						t.Errorf("of %s the trace says %q", to, got[to])
					}
				}
				if len(told.Refused) != 1 {
					t.Errorf("told %+v", told)
				}
				w.queued(0, 0)
				w.stop()
			})
		})
	}
}
