package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/spool"
)

// The host's own name has a postmaster whose mailbox is here, although it is no domain of
// ours; any other domain that is not ours has no mailbox here, and its mail is held.
func TestTheHostsOwnPostmaster(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		own := w.send(letterOf{to: []string{"postmaster@mx.local.test"}, boxes: []string{"postmaster@mx.local.test"}})
		gone := w.send(letterOf{to: []string{"x@gone.test"}, boxes: []string{"x@gone.test"}})
		later(time.Second)
		if n := w.local.times("postmaster@mx.local.test"); n != 1 {
			t.Errorf("postmaster has %d copies", n)
		}
		if _, queued := w.entry(own); queued {
			t.Error("postmaster's mail is still queued")
		}
		if n := w.local.attempts(); n != 1 {
			t.Errorf("%d deliveries into mailboxes, want postmaster's alone", n)
		}
		if e, queued := w.entry(gone); !queued || e.Held == "" {
			t.Errorf("mail for a domain that is not ours is not held: %+v", e)
		}
	})
}

// A domain that became ours while mail for it waited is outside no more: the mail waits,
// between two attempts and for its turn, and does not go where the world says.
func TestADomainBecomesOursWhileMailWaits(t *testing.T) {
	for _, where := range []string{"for its next try", "for its turn"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				world := newTarget("mx.new.test")
				w.outside = func(mail.Address) (nexthop.Target, bool) { return world, true }
				w.limits.Workers = 1
				if where == "for its turn" {
					world.fn = func(context.Context, nexthop.Job, mail.Address) mail.Reply {
						time.Sleep(time.Minute)
						return mail.R(250, "2.0.0", "ok")
					}
				} else {
					world.fn = always(451, "4.0.0", "later")
				}
				w.start()
				first := w.send(fresh("x@new.test"))
				waits := first
				if where == "for its turn" {
					waits = w.send(fresh("y@new.test"))
				}
				later(time.Second)
				s, err := directory.NewSnapshot(directory.Config{
					Hostname: addr("x@mx.local.test").Domain(), Detail: '+',
					Domains: []directory.Domain{
						{Name: addr("x@local.test").Domain(), Deliver: directory.DeliverMaildir}, {Name: addr("x@new.test").Domain(), Deliver: directory.DeliverMaildir},
					},
				}, []mail.Address{addr("alice@local.test")})
				must(t, err)
				w.dir.Store(s)
				later(24 * time.Hour)
				if n := world.attempts(); n != 1 {
					t.Errorf("%d deliveries to the outside, want the one before it was ours", n)
				}
				e, queued := w.entry(waits)
				if !queued || e.Held != "" || e.Recipients[0].State != spool.StatePending || e.Recipients[0].Last.Enhanced.String() != "4.4.4" {
					t.Errorf("it does not wait: %+v", e)
				}
				// When it is outside again, it leaves.
				world.fn = nil
				w.publish("alice@local.test", "bob@local.test")
				later(3 * time.Hour)
				w.queued(0, 0)
				w.stop()
			})
		})
	}
}

// One destination that takes whatever it gets gets a fifth of the room and no more; the
// next a fifth of the rest; a third finds room at once.
func TestOneDestinationDoesNotTakeAllRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits.Active, w.limits.PerDestination, w.limits.Workers = 100, 1000, 1000
		hang := func(ctx context.Context, _ nexthop.Job, _ mail.Address) mail.Reply {
			<-ctx.Done()
			return mail.R(451, "4.4.1", "nobody answers")
		}
		w.routes["slow.test"].fn, w.routes["far.test"].fn = hang, hang
		w.start()
		for i := range 150 {
			w.send(fresh(fmt.Sprintf("x%d@slow.test", i)))
		}
		synctest.Wait()
		if n := w.routes["slow.test"].attempts(); n != 20 {
			t.Errorf("the first destination has %d of 100 places, want 20", n)
		}
		for i := range 150 {
			w.send(fresh(fmt.Sprintf("x%d@far.test", i)))
		}
		synctest.Wait()
		if n := w.routes["far.test"].attempts(); n != 16 {
			t.Errorf("the second has %d of the other 80, want 16", n)
		}
		w.send(fresh("x@remote.test"))
		synctest.Wait()
		if n := w.routes["remote.test"].times("x@remote.test"); n != 1 {
			t.Errorf("the third was delivered %d times", n)
		}
		w.stop()
	})
}

// A target that opens the message late is asked about it late: what was frozen, held,
// removed or is being stopped by then does not leave, and is not counted against anybody.
func TestOpenAsksAgain(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*world, mail.ID)
		opens  bool
	}{
		"nothing happens": {func(*world, mail.ID) {}, true},
		"the account":     {func(w *world, _ mail.ID) { w.freeze() }, false},
		"the queue":       {func(w *world, _ mail.ID) { w.holdQueue() }, false},
		"the message": {func(w *world, id mail.ID) {
			_, err := w.spool.Remove(w.t.Context(), spool.Filter{IDs: []mail.ID{id}}, nil)
			must(w.t, err)
		}, false},
		"another's account": {func(w *world, _ mail.ID) { w.freezeOther() }, true},
	} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				remote := w.routes["remote.test"]
				var opened []error
				remote.raw = func(j nexthop.Job) []mail.Outcome {
					time.Sleep(time.Minute) // for a connection
					r, err := j.Open()
					opened = append(opened, err)
					if err != nil {
						return j.All(mail.R(451, "4.3.2", "it may not be read"), "here")
					}
					must(w.t, r.Close())
					return j.All(mail.R(250, "2.0.0", "ok"), "mx")
				}
				id := w.send(fresh("x@remote.test"))
				later(time.Second)
				c.change(w, id)
				later(59 * time.Second)
				if len(opened) != 1 || (opened[0] == nil) != c.opens || !c.opens && !errors.Is(opened[0], nexthop.ErrWithdrawn) {
					t.Fatalf("opened with %v", opened)
				}
				later(10 * time.Second)
				e, queued := w.entry(id)
				switch what {
				case "the account", "the queue":
					if !queued || e.Held == "" && !e.Parked() || !e.Recipients[0].Last.IsZero() {
						t.Errorf("it does not wait as it was: %+v", e)
					}
					if what == "the queue" {
						must(t, w.spool.ReleaseAccount(t.Context(), addr("alice@local.test")))
					} else {
						w.thaw()
						if e.Held != "" {
							_, err := w.spool.Release(t.Context(), spool.Filter{IDs: []mail.ID{id}}, nil)
							must(t, err)
						}
					}
					later(3 * time.Hour)
					w.queued(0, 0)
					if len(opened) != 2 || opened[1] != nil {
						t.Errorf("after that opened with %v", opened)
					}
				default:
					if queued {
						t.Errorf("it is still queued: %+v", e)
					}
				}
			})
		})
	}
}

func (w *world) freezeOther() {
	_, err := w.identity.Freeze(w.t.Context(), addr("älice@local.test"), "incident", nil)
	must(w.t, err)
}
