package dispatch_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// Many addresses of one account that forwards: one message leaves, for each target
// once, over every attempt, and each address has its outcome.
func TestManyAddressesForwardOnce(t *testing.T) {
	for _, keep := range []bool{false, true} {
		inForward(t, keep, []string{"a@remote.test", "b@remote.test"}, func(t *testing.T, w *world) {
			w.mailbox = addr("alice@local.test")
			var to []string
			for i := range 100 {
				to = append(to, fmt.Sprintf("alice+%d@local.test", i))
			}
			l := stranger(to...)
			id := w.send(l)
			later(time.Minute)
			jobs, _ := w.left()
			if len(jobs) != 1 || len(jobs[0].Recipients) != 2 {
				t.Fatalf("keep %v: %d messages left", keep, len(jobs))
			}
			told := map[string]bool{}
			for _, f := range w.facts("outcome") {
				for _, r := range f.Recipients {
					told[r] = f.Queue == id && f.Reply.Code == 250 || told[r]
				}
			}
			for _, a := range to {
				if !told[a+" (alice@local.test)"] {
					t.Errorf("keep %v: nothing says what became of %s", keep, a)
				}
			}
			w.queued(0, 0)
		})
	}
}

// A mailbox that took the message for one address does not get it again for another
// whose turn came later, and what was sent on is not sent on again.
func TestALaterAttemptAddsNoCopy(t *testing.T) {
	inForward(t, true, []string{"a@remote.test"}, func(t *testing.T, w *world) {
		w.mailbox = addr("alice@local.test")
		w.local.fn = func(_ context.Context, j nexthop.Job, to mail.Address) mail.Reply {
			if to == addr("alice+b@local.test") {
				return mail.R(451, "4.3.0", "not yet")
			}
			return mail.R(250, "2.0.0", "ok")
		}
		w.send(stranger("alice+a@local.test", "alice+b@local.test"))
		later(10 * time.Hour)
		w.queued(0, 0)
		if jobs, _ := w.left(); len(jobs) != 1 || w.local.times("alice+a@local.test") != 1 || w.local.attempts() != 1 {
			t.Errorf("%d left, %d attempts at the mailbox", len(jobs), w.local.attempts())
		}
	})
}

// One recipient who is three mailboxes, of which one waits for the next attempt: what
// became of the others is no word about it.
func TestAnOutcomeIsOfItsMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.limits.Forwards = 1
		for _, a := range []string{"u1@local.test", "u2@local.test"} {
			w.account(a)
			w.forwards = append(w.forwards, directory.Forward{Account: addr(a), Targets: []mail.Address{addr("t-" + strings.Replace(a, "local", "remote", 1))}})
		}
		w.publish("u1@local.test", "u2@local.test", "bob@local.test")
		w.start()
		l := stranger("all@local.test")
		l.boxes = []string{"u1@local.test", "u2@local.test", "bob@local.test"}
		w.send(l)
		later(10 * time.Hour)
		w.queued(0, 0)
		for _, target := range []string{"t-u1@remote.test", "t-u2@remote.test"} {
			if n := w.routes["remote.test"].times(target); n != 1 {
				t.Errorf("%s got it %d times", target, n)
			}
		}
		if n := w.local.times("all@local.test"); n != 1 {
			t.Errorf("the mailbox got it %d times", n)
		}
		w.stop()
	})
}

// On a low disk nothing is sent on, and what waits goes when there is room.
func TestALowDiskForwardsNothing(t *testing.T) {
	for _, keep := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.forward(keep, "alice@local.test", "a@remote.test")
			var low atomic.Bool
			low.Store(true)
			w.low = func(int64) bool { return low.Load() }
			w.start()
			w.send(stranger("alice@local.test"))
			later(time.Minute)
			w.queued(1, 0)
			if jobs, _ := w.left(); len(jobs) != 0 || w.local.attempts() != 0 {
				t.Errorf("keep %v: %d left, %d attempts at the mailbox", keep, len(jobs), w.local.attempts())
			}
			low.Store(false)
			later(time.Hour)
			w.queued(0, 0)
			if jobs, _ := w.left(); len(jobs) != 1 || w.copies() != map[bool]int{true: 1}[keep] {
				t.Errorf("keep %v: %d left, %d copies", keep, len(jobs), w.copies())
			}
			w.stop()
		})
	}
}
