package dispatch_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/spool"
)

func (w *world) freeze() {
	w.t.Helper()
	_, err := w.identity.Freeze(w.t.Context(), addr("alice@local.test"), "incident", nil)
	must(w.t, err)
}

// thaw is what the operator's command does.
func (w *world) thaw() {
	w.t.Helper()
	_, err := w.identity.Thaw(w.t.Context(), addr("alice@local.test"), nil)
	must(w.t, err)
	must(w.t, w.spool.ReleaseAccount(w.t.Context(), addr("alice@local.test")))
	synctest.Wait()
}

func (w *world) holdQueue() {
	w.t.Helper()
	must(w.t, w.spool.HoldAccount(w.t.Context(), addr("alice@local.test"), "incident"))
}

// Nothing of a frozen account leaves, to outsiders and colleagues alike, however
// far it had come: also not what was accepted, queued for a destination, or put
// off before. A thaw lets all of it go on, once.
func TestFrozenAccountSendsNothing(t *testing.T) {
	for name, between := range map[string]time.Duration{"at once": 0, "the queue a second later": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.limits.Workers = 1
				slow, remote := w.routes["slow.test"], w.routes["remote.test"]
				slow.fn = func(context.Context, nexthop.Job, mail.Address) mail.Reply {
					time.Sleep(time.Minute)
					return mail.R(250, "2.0.0", "ok")
				}
				remote.fn = always(451, "4.0.0", "later")
				w.start()
				accepted := w.put(fresh("bob@local.test", "a@far.test"))
				w.send(fresh("a@slow.test"))   // under way
				w.send(fresh("b@slow.test"))   // waits for its turn
				w.send(fresh("a@remote.test")) // waits for its next try
				synctest.Wait()
				w.freeze()
				w.dispatch.Offer(accepted)
				later(between)
				w.holdQueue()
				later(24 * time.Hour)
				w.queued(3, 3)
				if slow.attempts() != 1 || remote.attempts() != 1 || w.local.attempts() != 0 || w.routes["far.test"].attempts() != 0 {
					t.Errorf("attempts: slow %d, remote %d, local %d", slow.attempts(), remote.attempts(), w.local.attempts())
				}
				remote.mu.Lock()
				remote.fn = nil
				remote.mu.Unlock()
				w.thaw()
				later(time.Hour)
				w.queued(0, 0)
				for _, got := range []int{slow.times("a@slow.test"), slow.times("b@slow.test"), remote.times("a@remote.test"), w.local.times("bob@local.test"), w.routes["far.test"].times("a@far.test")} {
					if got != 1 {
						t.Errorf("%d copies\n%s", got, w.logged.String())
					}
				}
				w.stop()
			})
		})
	}
}

// A message whose account is gone is held by itself, with the reason, until a
// person decides.
func TestRemovedAccountIsHeld(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		c := w.put(fresh("x@remote.test", "bob@local.test"))
		must(t, w.identity.Remove(t.Context(), addr("alice@local.test"), nil))
		w.dispatch.Offer(c)
		later(time.Hour)
		w.queued(1, 1)
		e, _ := w.entry(c.Entry.ID)
		f := w.facts(fact.KindHold)
		if !strings.Contains(e.Held, "alice@local.test may not send") || len(f) != 1 || f[0].Rule != "dispatch-hold" || f[0].Queue != e.ID {
			t.Errorf("held %q, facts %+v", e.Held, f)
		}
		if w.routes["remote.test"].attempts()+w.local.attempts() != 0 {
			t.Error("something was delivered")
		}
	})
}

// Whoever may send is for the Grant to say, whatever else a message says of itself.
func TestTheGrantsAccountMustBeActive(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		c := w.put(fresh("x@remote.test"))
		c.Entry.Account = mail.Address{}
		w.freeze()
		w.dispatch.Offer(c)
		later(time.Hour)
		w.queued(1, 1)
		if e, _ := w.entry(c.Entry.ID); !strings.Contains(e.Held, "alice@local.test may not send") || w.routes["remote.test"].attempts() != 0 {
			t.Errorf("held %q after %d attempts", e.Held, w.routes["remote.test"].attempts())
		}
	})
}

// An account that comes back before its queue was held has lost nothing.
func TestShortFreeze(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.freeze()
		w.send(fresh("x@remote.test"))
		time.Sleep(time.Second)
		w.thaw()
		later(time.Minute)
		w.queued(0, 0)
		if w.routes["remote.test"].times("x@remote.test") != 1 {
			t.Error("not delivered")
		}
	})
}

// A stranger's message that fails after its 250 is held, never bounced, never
// dropped. Those who have it do not get it again when it is released.
func TestStrangersFailureIsHeld(t *testing.T) {
	for _, from := range []string{"victim@innocent.test", ""} {
		inWorld(t, func(t *testing.T, w *world) {
			refuse := true
			w.local.fn = func(_ context.Context, _ nexthop.Job, to mail.Address) mail.Reply {
				if refuse && to.Local() == "alice" {
					return mail.R(550, "5.2.1", "mailbox broken")
				}
				return mail.R(250, "2.0.0", "ok")
			}
			id := w.send(letterOf{from: from, to: []string{"alice@local.test", "bob@local.test"}})
			w.queued(1, 1)
			e, _ := w.entry(id)
			f := w.facts(fact.KindHold)
			if !strings.Contains(e.Held, "alice@local.test: 550 5.2.1 mailbox broken") || len(f) != 1 || f[0].Rule != "undeliverable-stranger" {
				t.Errorf("held %q, facts %+v", e.Held, f)
			}
			later(30 * 24 * time.Hour)
			w.queued(1, 1)
			if w.local.attempts() != 1 || len(w.facts(fact.KindNotify)) != 0 {
				t.Errorf("%d attempts, notified %+v", w.local.attempts(), w.facts(fact.KindNotify))
			}
			refuse = false
			_, err := w.spool.Release(t.Context(), spool.Filter{IDs: []mail.ID{id}}, nil)
			must(t, err)
			later(time.Second)
			w.queued(0, 0)
			if w.local.times("alice@local.test") != 1 || w.local.times("bob@local.test") != 1 {
				t.Errorf("arrived %v", w.local.arrived)
			}
		})
	}
}

// While another recipient is still tried, a stranger's failed one is not tried again, and
// the queue shows why; when nothing else is left to try the message is held. Only who
// releases it has everybody tried again who does not have it.
func TestStrangersFailureWaitsForOthers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		tries, refused := 0, 0
		w.local.fn = func(_ context.Context, _ nexthop.Job, to mail.Address) mail.Reply {
			if to.Local() == "alice" {
				refused++
				return mail.R(550, "5.2.1", "mailbox broken")
			}
			if tries++; tries < 3 {
				return mail.R(452, "4.2.2", "full")
			}
			return mail.R(250, "2.0.0", "ok")
		}
		id := w.send(letterOf{from: "x@innocent.test", to: []string{"alice@local.test", "bob@local.test"}})
		w.queued(1, 0)
		settled := func() {
			t.Helper()
			e, _ := w.entry(id)
			if a := e.Recipients[0]; a.State != spool.StateUntold || a.Last.String() != "550 5.2.1 mailbox broken" || a.LastAt.IsZero() || a.Remote == "" {
				t.Errorf("alice is %+v", a)
			}
		}
		settled()
		later(24 * time.Hour)
		w.queued(1, 1)
		settled()
		if e, _ := w.entry(id); refused != 1 || !strings.Contains(e.Held, "alice@local.test: 550 5.2.1 mailbox broken") || len(w.facts(fact.KindHold)) != 1 {
			t.Errorf("alice was offered %d times, held %q", refused, e.Held)
		}
		if w.restart(); refused != 1 {
			t.Error("offered again after a restart")
		}
		settled()
		if w.local.times("bob@local.test") != 1 || w.local.attempts() != 3 {
			t.Errorf("bob got %d copies in %d attempts", w.local.times("bob@local.test"), w.local.attempts())
		}
		_, err := w.spool.Release(t.Context(), spool.Filter{IDs: []mail.ID{id}}, nil)
		must(t, err)
		later(time.Minute)
		w.queued(1, 1)
		if settled(); refused != 2 || w.local.times("bob@local.test") != 1 {
			t.Errorf("released, alice was offered %d times", refused)
		}
	})
}

// A stranger's message that expires is held too.
func TestStrangersExpiryIsHeld(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.local.fn = always(452, "4.2.2", "full")
		id := w.send(letterOf{from: "x@innocent.test", to: []string{"bob@local.test"}})
		later(w.policy.Expire + w.policy.Max)
		w.queued(1, 1)
		if e, _ := w.entry(id); !strings.Contains(e.Held, "5.4.7") || !strings.Contains(e.Held, "452 4.2.2 full") {
			t.Errorf("held %q", e.Held)
		}
		if len(w.facts(fact.KindNotify)) != 0 {
			t.Error("somebody was notified")
		}
	})
}

// When the sender is no longer the account's, nobody can be told of a failure: the
// message is held.
func TestSenderThatIsNoLongerOwned(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.routes["remote.test"].fn = always(550, "5.1.1", "nobody")
		c := w.put(fresh("x@remote.test"))
		w.publish("bob@local.test") // the address is gone, the account still stands
		w.dispatch.Offer(c)
		w.queued(1, 1)
		if f := w.facts(fact.KindHold); len(f) != 1 || f[0].Rule != "undeliverable-unverified" {
			t.Errorf("facts %+v", f)
		}
		if _, ok := w.identity.Lookup(addr("alice@local.test")); !ok || w.local.attempts() != 0 {
			t.Error("somebody was notified")
		}
	})
}

// A sender of ours that is another's is told nothing of what he did not send.
func TestSenderIsAnothers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.routes["remote.test"].fn = always(550, "5.1.1", "nobody")
		l := fresh("x@remote.test")
		l.from = "bob@local.test"
		w.send(l)
		w.queued(1, 1)
		if w.local.attempts() != 0 || len(w.facts(fact.KindNotify)) != 0 {
			t.Error("bob was notified")
		}
	})
}

// A freeze cannot be outrun by messages that wait for room in memory.
func TestFrozenWhileCrowded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits.Workers, w.limits.PerDestination, w.limits.Active = 1, 2, 4
		w.routes["slow.test"].fn = func(context.Context, nexthop.Job, mail.Address) mail.Reply {
			time.Sleep(10 * time.Second)
			return mail.R(250, "2.0.0", "ok")
		}
		w.start()
		for range 20 {
			w.send(fresh("x@slow.test"))
		}
		later(15 * time.Second) // one is delivered, one is under way
		w.freeze()
		w.holdQueue()
		later(24 * time.Hour)
		w.queued(18, 18)
		if n := w.routes["slow.test"].attempts(); n != 2 {
			t.Errorf("%d attempts", n)
		}
		if a, _ := w.identity.Lookup(addr("alice@local.test")); a.Standing != accounts.StandingFrozen {
			t.Error("not frozen")
		}
		w.stop()
	})
}
