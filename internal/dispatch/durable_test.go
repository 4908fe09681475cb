package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/spool"
)

// A failure and its notification are one act: at no moment is there one without the
// other, also not when the disk fails just then.
func TestFailureAndNotificationAreOneAct(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.routes["remote.test"].fn = always(550, "5.1.1", "nobody")
		vetoes := 0
		w.disk.mu.Lock()
		w.disk.veto = func(facts []fact.Fact) bool {
			failed := slices.ContainsFunc(facts, func(f fact.Fact) bool { return f.Kind == fact.KindOutcome && f.Rule == "failed" })
			notified := slices.ContainsFunc(facts, func(f fact.Fact) bool { return f.Kind == fact.KindNotify })
			if failed != notified {
				t.Errorf("a failure and its notification are parted: %+v", facts)
			}
			if failed {
				vetoes++
			}
			return failed && vetoes < 4
		}
		w.disk.mu.Unlock()
		id := w.send(fresh("x@remote.test"))
		w.queued(1, 0)
		if e, ok := w.entry(id); !ok || len(e.Pending()) != 1 || len(w.notices()) != 0 {
			t.Error("the failure became final without its notification")
		}
		later(time.Minute)
		w.queued(0, 0)
		if len(w.notices()) != 1 || w.routes["remote.test"].attempts() != 1 || vetoes != 4 {
			t.Errorf("%d notifications, %d attempts, %d tries to record", len(w.notices()), w.routes["remote.test"].attempts(), vetoes)
		}
	})
}

// While the disk fails, outcomes wait in memory; when it recovers, they are
// recorded, and nothing is delivered a second time.
func TestOutcomesWaitForTheDisk(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := w.routes["remote.test"]
		g.fn = func(_ context.Context, _ nexthop.Job, to mail.Address) mail.Reply {
			if to.Local() == "nobody" {
				return mail.R(550, "5.1.1", "nobody")
			}
			return mail.R(250, "2.0.0", "ok")
		}
		c := w.put(fresh("x@remote.test", "nobody@remote.test", "bob@local.test"))
		w.disk.full.Store(true)
		w.dispatch.Offer(c)
		later(2 * time.Hour)
		if w.spool.Stats().Entries != 1 {
			t.Error("recorded on a full disk")
		}
		w.disk.full.Store(false)
		later(time.Minute)
		w.queued(0, 0)
		if g.attempts() != 1 || w.local.times("bob@local.test") != 1 || len(w.notices()) != 1 {
			t.Errorf("%d attempts, %d copies, %d notifications", g.attempts(), w.local.times("bob@local.test"), len(w.notices()))
		}
	})
}

// A process that dies before it could record a delivery repeats it: delivery is at
// least once, and nothing is lost.
func TestUnrecordedDeliveryIsRepeated(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		c := w.put(fresh("x@remote.test", "bob@local.test"))
		w.disk.full.Store(true)
		w.dispatch.Offer(c)
		later(time.Minute)
		w.soft()
		w.hard()
		<-w.ended
		w.disk.full.Store(false)
		w.open()
		w.start()
		later(time.Hour)
		w.queued(0, 0)
		if w.routes["remote.test"].times("x@remote.test") != 2 || w.local.times("bob@local.test") != 2 {
			t.Errorf("arrived %v, %v", w.routes["remote.test"].arrived, w.local.arrived)
		}
	})
}

// A queue that can't be read is asked again, without haste, until it can.
func TestQueueUnreadable(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.routes["remote.test"].fn = always(451, "4.0.0", "later")
		w.send(fresh("x@remote.test"))
		synctest.Wait()
		w.disk.full.Store(true)
		before := strings.Count(w.logged.String(), "\n")
		later(time.Hour)
		if n := strings.Count(w.logged.String(), "\n") - before; n < 100 || n > 2*3600 {
			t.Errorf("%d lines logged in an hour", n)
		}
		w.routes["remote.test"].mu.Lock()
		w.routes["remote.test"].fn = nil
		w.routes["remote.test"].mu.Unlock()
		w.disk.full.Store(false)
		later(time.Minute)
		w.queued(0, 0)
	})
}

// A shutdown lets deliveries under way finish, gives back what waits for its turn
// at once, and cuts what does not end; a new process goes on with all of it.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits.Workers = 1
		hang := func(ctx context.Context, _ nexthop.Job, _ mail.Address) mail.Reply {
			<-ctx.Done()
			return mail.R(451, "4.3.2", "interrupted")
		}
		brief := func(context.Context, nexthop.Job, mail.Address) mail.Reply {
			time.Sleep(5 * time.Second)
			return mail.R(250, "2.0.0", "ok")
		}
		w.routes["slow.test"].fn, w.routes["remote.test"].fn = hang, brief
		w.start()
		hung := w.send(fresh("x@slow.test"))
		mixed := w.send(fresh("m@slow.test", "bob@local.test"))
		w.send(fresh("y@slow.test"))
		w.send(fresh("x@remote.test"))
		w.send(fresh("y@remote.test")) // waits for its turn
		synctest.Wait()
		w.soft()
		later(10 * time.Second)
		w.send(fresh("late@local.test"))
		if n := w.routes["remote.test"].attempts(); n != 1 || w.routes["remote.test"].times("x@remote.test") != 1 {
			t.Errorf("%d attempts at remote.test", n)
		}
		select {
		case <-w.ended:
			t.Error("ended while a delivery was under way")
		default:
		}
		w.hard()
		<-w.ended
		w.queued(5, 0)
		if e, _ := w.entry(hung); e.Attempts != 0 || e.NextTry.After(time.Now()) {
			t.Errorf("what was cut counts: attempt %d, next %v", e.Attempts, e.NextTry)
		}
		if e, _ := w.entry(mixed); len(e.Pending()) != 1 {
			t.Errorf("the mailbox's copy is forgotten: %+v", e.Recipients)
		}
		w.routes["slow.test"].fn = nil
		w.open()
		w.start()
		later(time.Hour)
		w.queued(0, 0)
		for _, to := range []string{"x@slow.test", "m@slow.test", "y@slow.test"} {
			if n := w.routes["slow.test"].times(to); n != 1 {
				t.Errorf("%s got %d copies", to, n)
			}
		}
		if w.local.times("bob@local.test") != 1 || w.local.times("late@local.test") != 1 || w.routes["remote.test"].times("y@remote.test") != 1 {
			t.Errorf("arrived %v %v", w.local.arrived, w.routes["remote.test"].arrived)
		}
		w.stop()
	})
}

// A message that was cut is not given up for that, however old it is.
func TestShutdownExpiresNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.put(fresh("x@slow.test", "bob@local.test"))
		must(t, w.spool.Postpone(t.Context(), c.Token, time.Now().Add(w.policy.Expire+time.Hour), nil))
		w.routes["slow.test"].fn = func(ctx context.Context, _ nexthop.Job, _ mail.Address) mail.Reply {
			<-ctx.Done()
			return mail.R(451, "4.3.2", "interrupted")
		}
		w.start()
		later(w.policy.Expire + 2*time.Hour)
		w.stop()
		w.queued(1, 0)
		if e, _ := w.entry(c.Entry.ID); len(e.Pending()) != 1 || len(w.facts(fact.KindNotify)) != 0 {
			t.Errorf("given up: %+v", e.Recipients)
		}
	})
}

// What is offered while nothing runs waits in the store and is due at once.
func TestOfferWithoutRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		w.stop()
		w.send(fresh("bob@local.test"))
		w.queued(1, 0)
		due, err := w.spool.Due(t.Context(), time.Now(), 10)
		if err != nil || len(due) != 1 {
			t.Errorf("due %v, %v", due, err)
		}
		w.open()
		w.start()
		w.queued(0, 0)
		w.stop()
	})
}

// A queue left by a process that died goes on: what was under way, at once, and
// what waited, when it is due.
func TestRestart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.routes["remote.test"].fn = always(451, "4.0.0", "later")
		for i := range 50 {
			w.send(fresh(fmt.Sprintf("x%d@remote.test", i)))
			w.put(fresh(fmt.Sprintf("y%d@local.test", i))) // dies before it is handed over
		}
		synctest.Wait()
		w.routes["remote.test"].mu.Lock()
		w.routes["remote.test"].fn = nil
		w.routes["remote.test"].mu.Unlock()
		w.restart()
		w.queued(50, 0)
		if len(w.local.arrived) != 50 {
			t.Errorf("%d of 50 went on at once", len(w.local.arrived))
		}
		later(w.policy.First + time.Second)
		w.queued(0, 0)
		if g := w.routes["remote.test"]; len(g.arrived) != 50 || g.attempts() != 100 {
			t.Errorf("%d of 50 arrived in %d attempts", len(g.arrived), g.attempts())
		}
	})
}

// A hold is recorded together with the copies that did arrive, or made up for: nobody
// gets a second copy.
func TestHoldAfterPartialDelivery(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.local.fn = func(_ context.Context, _ nexthop.Job, to mail.Address) mail.Reply {
			if to.Local() == "alice" {
				return mail.R(550, "5.2.1", "broken")
			}
			return mail.R(250, "2.0.0", "ok")
		}
		vetoed := 0
		w.disk.mu.Lock()
		w.disk.veto = func(facts []fact.Fact) bool {
			hold := slices.ContainsFunc(facts, func(f fact.Fact) bool { return f.Kind == fact.KindHold })
			if hold {
				vetoed++
			}
			return hold && vetoed == 1
		}
		w.disk.mu.Unlock()
		id := w.send(letterOf{from: "x@innocent.test", to: []string{"bob@local.test", "alice@local.test"}})
		later(time.Minute)
		w.queued(1, 1)
		e, _ := w.entry(id)
		if vetoed < 2 || e.Recipients[0].State != spool.StateDelivered || e.Recipients[1].State != spool.StateUntold || w.local.attempts() != 1 {
			t.Errorf("vetoed %d, %+v, %d attempts", vetoed, e.Recipients, w.local.attempts())
		}
	})
}
