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

// A fresh message goes from memory to its mailbox and leaves the queue; nothing is
// read back.
func TestFreshHandOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		before := w.disk.gets.Load()
		began := time.Now()
		id := w.send(fresh("bob@local.test"))
		w.queued(0, 0)
		if n := w.disk.gets.Load() - before; n != 0 {
			t.Errorf("%d reads of the store", n)
		}
		if w.local.times("bob@local.test") != 1 || w.local.texts[0] != prefix+letter || time.Since(began) != 0 {
			t.Errorf("delivered %v: %q", w.local.arrived, w.local.texts)
		}
		j := w.local.jobs[0]
		if j.ID != id || j.Attempt != 1 || j.Recipients[0].Mailbox != addr("bob@local.test") {
			t.Errorf("job %+v", j)
		}
		f := w.facts(fact.KindOutcome)
		if len(f) != 1 || f[0].Rule != "delivered" || f[0].Queue != id || f[0].Count != 1 || f[0].Recipients[0] != "bob@local.test" {
			t.Errorf("facts %+v", f)
		}
	})
}

// One message to a mailbox and two next hops: each gets its own recipients once,
// and each recipient its own outcome.
func TestOneOutcomePerRecipient(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.routes["remote.test"].fn = func(_ context.Context, _ nexthop.Job, to mail.Address) mail.Reply {
			if to.Local() == "busy" {
				return mail.R(450, "4.2.1", "later")
			}
			return mail.R(250, "2.0.0", "ok")
		}
		w.routes["far.test"].fn = always(550, "5.1.1", "nobody")
		id := w.send(fresh("bob@local.test", "ok@remote.test", "busy@remote.test", "x@far.test", "y@far.test"))
		synctest.Wait()
		e, ok := w.entry(id)
		if !ok {
			t.Fatal("the message is gone")
		}
		var got []string
		for _, r := range e.Recipients {
			got = append(got, fmt.Sprintf("%s %d %d", r.Recipient.Address, r.State, r.Last.Code))
		}
		want := []string{"bob@local.test 2 250", "ok@remote.test 2 250", "busy@remote.test 1 450", "x@far.test 3 550", "y@far.test 3 550"}
		if !slices.Equal(got, want) {
			t.Errorf("outcomes %q, want %q", got, want)
		}
		if n := len(w.routes["remote.test"].jobs[0].Recipients); n != 2 || w.routes["far.test"].attempts() != 1 {
			t.Errorf("remote.test got %d recipients", n)
		}
		// One update for all of them, with the notification.
		for _, tx := range w.disk.facts {
			if slices.ContainsFunc(tx, func(f fact.Fact) bool { return f.Kind == fact.KindOutcome && f.Queue == id }) && len(tx) != 5 {
				t.Errorf("settled in pieces: %+v", tx)
			}
		}
		if len(w.notices()) != 1 {
			t.Errorf("%d notifications", len(w.notices()))
		}
	})
}

// A target that miscounts, or speaks of others, changes nothing about who was
// meant: no outcome is believed that can't be assigned.
func TestMiscountingTarget(t *testing.T) {
	ok := func(to string) mail.Outcome {
		return mail.Outcome{Recipient: addr(to), Reply: mail.R(250, "2.0.0", "ok")}
	}
	for name, raw := range map[string][]mail.Outcome{
		"none":     nil,
		"too few":  {ok("x@remote.test")},
		"too many": {ok("x@remote.test"), ok("y@remote.test"), ok("y@remote.test")},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				g := w.routes["remote.test"]
				g.raw = func(nexthop.Job) []mail.Outcome { return raw }
				id := w.send(fresh("x@remote.test", "y@remote.test"))
				w.queued(1, 0)
				if e, _ := w.entry(id); len(e.Pending()) != 2 {
					t.Errorf("%+v", e.Recipients)
				}
				g.mu.Lock()
				g.raw = nil
				g.mu.Unlock()
				later(w.policy.First)
				w.queued(0, 0)
				if g.times("x@remote.test") != 1 || g.times("y@remote.test") != 1 {
					t.Errorf("arrived %v", g.arrived)
				}
			})
		})
	}
	inWorld(t, func(t *testing.T, w *world) {
		w.routes["remote.test"].raw = func(j nexthop.Job) []mail.Outcome {
			return []mail.Outcome{ok("stranger@far.test"), {Reply: mail.R(354, "", "what?")}}
		}
		id := w.send(fresh("x@remote.test", "y@remote.test"))
		synctest.Wait()
		e, _ := w.entry(id)
		if len(e.Recipients) != 2 || e.Recipients[0].State != spool.StateDelivered || e.Recipients[1].State != spool.StatePending {
			t.Errorf("%+v\n%s", e.Recipients, w.logged.String())
		}
	})
}

// A destination that hangs delays nobody else, not even the other recipients of
// its own messages, and not when its queue is full.
func TestSlowDestinationDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits.Workers, w.limits.PerDestination = 3, 4
		hang := func(ctx context.Context, _ nexthop.Job, _ mail.Address) mail.Reply {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Minute):
			}
			return mail.R(451, "4.4.1", "nobody answers")
		}
		w.routes["slow.test"].fn = hang
		w.start()
		for i := range 20 {
			w.send(fresh(fmt.Sprintf("x%d@slow.test", i), fmt.Sprintf("bob+%d@local.test", i)))
		}
		began := time.Now()
		w.send(fresh("x@remote.test", "bob@local.test"))
		synctest.Wait()
		if w.routes["remote.test"].times("x@remote.test") != 1 || time.Since(began) != 0 {
			t.Error("remote.test waits for slow.test")
		}
		later(30 * time.Minute)
		if n := len(w.local.arrived); n != 21 {
			t.Errorf("%d of 21 mailboxes were reached", n)
		}
		for to, n := range w.local.arrived {
			if n != 1 {
				t.Errorf("%s got %d copies", to, n)
			}
		}
		if w.routes["slow.test"].most > 3 {
			t.Errorf("%d deliveries at once", w.routes["slow.test"].most)
		}
		w.stop()
	})
}

// However many destinations hang, and however much mail waits for them, another one
// gets its mail at once; and what hangs takes no more memory than it may.
func TestManySlowDestinationsDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits.Active = 400
		slow := &target{name: "slow", arrived: map[string]int{}, fn: func(ctx context.Context, _ nexthop.Job, _ mail.Address) mail.Reply {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Minute):
			}
			return mail.R(451, "4.4.1", "nobody answers")
		}}
		quick := &target{name: "quick", arrived: map[string]int{}}
		w.outside = func(a mail.Address) (nexthop.Target, bool) {
			if strings.HasPrefix(a.Domain().ASCII(), "slow") {
				return slow, true
			}
			return quick, true
		}
		w.start()
		for round := range 40 {
			for d := range 50 {
				w.send(fresh(fmt.Sprintf("x%d@slow%d.test", round, d)))
			}
			// Others arrive in between, and after the crowd came back from the store.
			began := time.Now()
			w.send(fresh(fmt.Sprintf("x%d@quick.test", round)))
			synctest.Wait()
			if quick.times(fmt.Sprintf("x%d@quick.test", round)) != 1 || time.Since(began) != 0 {
				t.Fatalf("quick.test waits for slow ones, in round %d", round)
			}
			later(5 * time.Second)
		}
		if n := w.spool.Stats().Claims; n > w.limits.Active {
			t.Errorf("%d messages in memory", n)
		}
		w.stop()
	})
}

// A crowded destination's mail waits in the store and comes back until all of it
// is delivered, once each.
func TestCrowdedDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits.Workers, w.limits.PerDestination, w.limits.CrowdedMost = 1, 2, 5*time.Second
		w.routes["slow.test"].fn = func(context.Context, nexthop.Job, mail.Address) mail.Reply {
			time.Sleep(time.Second)
			return mail.R(250, "2.0.0", "ok")
		}
		w.start()
		for i := range 30 {
			w.send(fresh(fmt.Sprintf("x%d@slow.test", i)))
		}
		synctest.Wait()
		if n := w.spool.Stats().Claims; n > 3 {
			t.Errorf("%d messages in memory, want 3", n)
		}
		must(t, w.spool.List(t.Context(), spool.Filter{}, func(e spool.Entry) (bool, error) {
			if wait := time.Until(e.NextTry); e.Attempts == 0 && (wait < w.limits.Crowded || wait > w.limits.CrowdedMost) {
				t.Errorf("turned away for %v", wait)
			}
			return true, nil
		}))
		later(10 * time.Minute)
		w.queued(0, 0)
		g := w.routes["slow.test"]
		if g.attempts() != 30 || len(g.arrived) != 30 || g.most != 1 {
			t.Errorf("%d attempts, %d recipients, %d at once", g.attempts(), len(g.arrived), g.most)
		}
		for _, j := range g.jobs {
			if j.Attempt != 1 {
				t.Errorf("waiting counted as attempt %d", j.Attempt)
			}
		}
		w.stop()
	})
}

// No more messages are in memory than Active says, whatever comes; all of them
// arrive.
func TestActiveIsBounded(t *testing.T) {
	for _, active := range []int{1, 2, 7} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.limits.Active = active
			w.local.fn = func(context.Context, nexthop.Job, mail.Address) mail.Reply {
				time.Sleep(time.Second)
				return mail.R(250, "2.0.0", "ok")
			}
			w.start()
			for i := range 40 {
				w.send(fresh(fmt.Sprintf("bob+%d@local.test", i)))
			}
			synctest.Wait()
			if n := w.spool.Stats().Claims; n > active {
				t.Errorf("%d messages in memory, want %d", n, active)
			}
			later(5 * time.Minute)
			w.queued(0, 0)
			if w.local.most > active || len(w.local.arrived) != 40 || w.local.attempts() != 40 {
				t.Errorf("%d at once, %d recipients, %d attempts", w.local.most, len(w.local.arrived), w.local.attempts())
			}
			w.stop()
		})
	}
}

// Bodies beyond ActiveOctets are read from the store when their turn comes, and
// envelopes beyond it wait there.
func TestActiveOctets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits.ActiveOctets = 3000
		w.local.fn = func(context.Context, nexthop.Job, mail.Address) mail.Reply {
			time.Sleep(time.Second)
			return mail.R(250, "2.0.0", "ok")
		}
		w.start()
		body := letter + strings.Repeat("0123456789abcd\r\n", 80)
		before := w.disk.gets.Load()
		for i := range 20 {
			l := fresh(fmt.Sprintf("bob+%d@local.test", i))
			l.body = body
			w.send(l)
		}
		synctest.Wait()
		if n := w.spool.Stats().Claims; n > 6 || n < 3 {
			t.Errorf("%d messages in memory", n)
		}
		if w.disk.gets.Load() == before {
			t.Error("no body was left in the store")
		}
		later(5 * time.Minute)
		w.queued(0, 0)
		for i, text := range w.local.texts {
			if text != prefix+body {
				t.Errorf("message %d arrived as %.80q", i, text)
			}
		}
		if len(w.local.arrived) != 20 {
			t.Errorf("%d of 20 arrived", len(w.local.arrived))
		}
		w.stop()
	})
}

// A message larger than any bound of memory is delivered all the same.
func TestOneLargeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits.ActiveOctets = 10
		w.start()
		l := fresh("bob@local.test", "x@remote.test")
		l.body = letter + strings.Repeat("0123456789abcd\r\n", 60_000)
		w.send(l)
		w.queued(0, 0)
		if w.local.texts[0] != prefix+l.body || w.routes["remote.test"].texts[0] != prefix+l.body {
			t.Errorf("arrived as %.100q", w.local.texts[0])
		}
		w.stop()
	})
}

// A delivery that takes longer than a claim lives is not begun a second time, nor
// is one that waits that long for its turn.
func TestLongDeliveryIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits.Lease, w.limits.Workers = time.Minute, 1
		w.routes["slow.test"].fn = func(context.Context, nexthop.Job, mail.Address) mail.Reply {
			time.Sleep(40 * time.Minute)
			return mail.R(250, "2.0.0", "ok")
		}
		w.start()
		c1, c2 := w.put(fresh("x@slow.test")), w.put(fresh("y@slow.test"))
		w.dispatch.Offer(c1)
		w.dispatch.Offer(c2)
		later(3 * time.Hour)
		w.queued(0, 0)
		if g := w.routes["slow.test"]; g.attempts() != 2 || g.most != 1 {
			t.Errorf("%d attempts, %d at once", g.attempts(), g.most)
		}
		w.stop()
	})
}

// A message that an operator removes or holds while it waits for its turn is not
// delivered.
func TestTakenAwayWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits.Workers = 1
		w.routes["slow.test"].fn = func(context.Context, nexthop.Job, mail.Address) mail.Reply {
			time.Sleep(time.Minute)
			return mail.R(250, "2.0.0", "ok")
		}
		w.start()
		w.send(fresh("x@slow.test"))
		id := w.send(fresh("y@slow.test"))
		n, err := w.spool.Remove(t.Context(), spool.Filter{IDs: []mail.ID{id}}, nil)
		if n != 1 || err != nil {
			t.Fatalf("removed %d: %v", n, err)
		}
		later(time.Hour)
		w.queued(0, 0)
		if g := w.routes["slow.test"]; g.times("y@slow.test") != 0 || g.times("x@slow.test") != 1 {
			t.Errorf("arrived %v", g.arrived)
		}
		w.stop()
	})
}

// What no route leads to goes out into the world, each domain by itself; routes come
// first, and a domain that has become ours is not the world.
func TestOutIntoTheWorld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		world := newTarget("mx")
		w.outside = func(a mail.Address) (nexthop.Target, bool) {
			_, literal := a.Literal()
			return world, !literal
		}
		w.start()
		c := w.put(fresh("a@one.test", "b@two.test", "c@one.test", "d@remote.test", "e@[192.0.2.77]"))
		w.dispatch.Offer(c)
		w.queued(1, 0)
		var jobs []string
		for _, j := range world.jobs {
			jobs = append(jobs, fmt.Sprint(len(j.Recipients), j.Recipients[0].Address.Domain()))
		}
		if !slices.Equal(sorted(jobs), []string{"1 two.test", "2 one.test"}) || w.routes["remote.test"].times("d@remote.test") != 1 {
			t.Errorf("jobs %q", jobs)
		}
		if e, _ := w.entry(c.Entry.ID); len(e.Pending()) != 1 || e.Recipients[4].State != spool.StatePending {
			t.Errorf("%+v", e.Recipients)
		}
		w.stop()
	})
}

// Attempts follow the policy, to the second; a message without a route is tried
// like any other.
func TestRetriesFollowThePolicy(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		g := w.routes["remote.test"]
		g.fn = always(451, "4.3.0", "later")
		id := w.send(fresh("x@remote.test"))
		later(24 * time.Hour)
		for i := 1; i < len(g.at); i++ {
			want := w.policy.Next(id, i, g.at[i-1])
			if d := g.at[i].Sub(want); d < 0 || d > time.Second {
				t.Errorf("attempt %d came %v after it was due", i+1, d)
			}
			if g.jobs[i].Attempt != i+1 {
				t.Errorf("attempt %d calls itself %d", i+1, g.jobs[i].Attempt)
			}
		}
		if len(g.at) < 10 {
			t.Errorf("%d attempts in a day", len(g.at))
		}
		if e, _ := w.entry(id); e.Attempts != len(g.at) {
			t.Errorf("%d attempts recorded, %d made", e.Attempts, len(g.at))
		}
		f := slices.DeleteFunc(w.facts(fact.KindOutcome), func(f fact.Fact) bool { return f.Queue != id }) // the warning's
		if len(f) != len(g.at) || f[0].Rule != "deferred" || !strings.Contains(f[0].Text, "next try") {
			t.Errorf("%d outcomes recorded", len(f))
		}
	})
	inWorld(t, func(t *testing.T, w *world) {
		id := w.send(fresh("x@elsewhere.test", "y@[192.0.2.77]"))
		later(time.Hour)
		e, ok := w.entry(id)
		if !ok || e.Attempts < 3 || !strings.Contains(e.Recipients[0].Last.Text, "elsewhere.test") || !strings.Contains(e.Recipients[1].Last.Text, "[192.0.2.77]") {
			t.Errorf("%+v", e)
		}
	})
}
