package dispatch_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// A flood into a mailbox that forwards leaves at the pace of the forward's budget: what is
// more waits in the queue, nothing is bounced or lost, the mailbox has its copies at once,
// and the owner's own budget has nothing to do with it.
func TestForwardWaitsForItsBudget(t *testing.T) {
	inForward(t, true, []string{"a@remote.test"}, func(t *testing.T, w *world) {
		w.budget = budget.Limits{Hour: 5, Day: 12}
		g := w.routes["remote.test"]
		for range 20 {
			w.send(stranger("alice@local.test"))
		}
		synctest.Wait()
		if w.copies() != 20 || g.times("a@remote.test") != 5 {
			t.Errorf("at once: %d copies, %d left", w.copies(), g.times("a@remote.test"))
		}
		w.queued(15, 0)
		for _, step := range []struct {
			after time.Duration
			left  int
		}{{50 * time.Minute, 5}, {40 * time.Minute, 10}, {70 * time.Minute, 12}, {20 * time.Hour, 12}, {150 * time.Minute, 17}} {
			later(step.after)
			if n := g.times("a@remote.test"); n != step.left {
				t.Errorf("%s on: %d left, not %d", step.after, n, step.left)
			}
		}
		later(48 * time.Hour)
		w.queued(0, 0)
		if g.times("a@remote.test") != 20 || len(w.notices()) != 0 {
			t.Errorf("in the end %d left, notices %q", g.times("a@remote.test"), w.notices())
		}
		if u := w.counts.Use(ledger.Account(addr("alice@local.test"))); u != (budget.Use{}) {
			t.Errorf("the owner was charged: %+v", u)
		}
		alarms := w.facts(fact.KindAlarm)
		if len(alarms) == 0 || alarms[0].Rule != "forward-budget" || alarms[0].Account != "alice@local.test" || !slices.Contains(alarms[0].Recipients, "a@remote.test") || !strings.Contains(w.logged.String(), "mail of a forward waits") {
			t.Errorf("alarms %+v\n%s", alarms, w.logged.String())
		}
	})
}

// Each target has a budget of its own; who has the message does not get it again when
// another's turn comes; what a target did not take is charged to nobody, and a restart
// gives no budget anew.
func TestForwardBudgetIsPerTarget(t *testing.T) {
	inForward(t, false, []string{"a@remote.test", "b@remote.test"}, func(t *testing.T, w *world) {
		w.budget = budget.Limits{Hour: 3, Day: 100}
		g := w.routes["remote.test"]
		busy := true
		g.fn = func(_ context.Context, _ nexthop.Job, to mail.Address) mail.Reply {
			if busy && to.Local() == "b" {
				return mail.R(451, "4.3.0", "busy")
			}
			return mail.R(250, "2.0.0", "ok")
		}
		for range 5 {
			w.send(stranger("alice@local.test"))
		}
		synctest.Wait()
		use := func(to string) int { return w.counts.Use(ledger.Forward(addr("alice@local.test"), addr(to))).Hour }
		if g.times("a@remote.test") != 3 || use("a@remote.test") != 3 || use("b@remote.test") != 0 {
			t.Errorf("a got %d, charged %d, b charged %d", g.times("a@remote.test"), use("a@remote.test"), use("b@remote.test"))
		}
		w.restart()
		synctest.Wait()
		if g.times("a@remote.test") != 3 || use("a@remote.test") != 3 {
			t.Errorf("after a restart a got %d, charged %d", g.times("a@remote.test"), use("a@remote.test"))
		}
		g.mu.Lock()
		busy = false
		g.mu.Unlock()
		later(12 * time.Hour)
		w.queued(0, 0)
		if g.times("a@remote.test") != 5 || g.times("b@remote.test") != 5 || len(w.notices()) != 0 {
			t.Errorf("in the end a got %d, b got %d, notices %q", g.times("a@remote.test"), g.times("b@remote.test"), w.notices())
		}
	})
}
