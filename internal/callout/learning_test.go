package callout

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// deliveries answers as it is told, whoever the recipients are.
type deliveries []mail.Outcome

func (d deliveries) Deliver(context.Context, nexthop.Job) []mail.Outcome { return d }

// What a server refuses for good at a delivery, or for want of space, it is not taken to
// take any more, by the name that it knows the recipient by; nothing else ends a yes.
func TestADeliveryThatFailsEndsTheYes(t *testing.T) {
	for reply, ends := range map[mail.Reply]bool{
		mail.R(250, "2.0.0", "ok"):       false,
		mail.R(550, "5.1.1", "nobody"):   true,
		mail.R(554, "5.2.1", "disabled"): true,
		mail.R(550, "5.7.1", "spam"):     true,
		mail.R(452, "4.2.2", "full"):     true,
		mail.R(452, "4.5.3", "many"):     false,
		mail.R(450, "4.2.1", "busy"):     false,
		mail.R(451, "4.3.0", "later"):    false,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.server.set(func() { w.server.takes["eve@x.test"] = true })
			w.want("alice@x.test", Yes, 1)
			w.want("eve@x.test", Yes, 2)
			out := deliveries{{Reply: reply}, {Reply: mail.R(250, "2.0.0", "ok")}, {Reply: mail.R(550, "5.1.1", "one too many")}}
			j := nexthop.Job{Recipients: []nexthop.Recipient{
				{Recipient: mail.Recipient{Address: mustAddress(t, "alias@ours.test")}, Mailbox: mustAddress(t, "alice@x.test")},
				{Recipient: mail.Recipient{Address: mustAddress(t, "eve@x.test")}},
			}}
			if got := w.Learning("inner:25", out).Deliver(t.Context(), j); len(got) != 3 || got[0] != out[0] {
				t.Errorf("the outcomes became %v", got)
			}
			questions := 2
			if ends {
				questions++
			}
			w.want("alice@x.test", Yes, questions)
			w.want("eve@x.test", Yes, questions)
			// Where no mailbox stands, the address is the one that was asked about.
			j.Recipients = j.Recipients[1:]
			w.Learning("inner:25", out).Deliver(t.Context(), j)
			if ends {
				questions++
			}
			w.want("eve@x.test", Yes, questions)
		})
	}
}

// Limits that are the same keep what was learnt; others begin anew.
func TestBuildTakesOverWhatNeedNotChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.want("alice@x.test", Yes, 1)
		same, err := Build(w.o, w.Asker)
		if err != nil || same != w.Asker {
			t.Errorf("made again: %v", err)
		}
		w.want("alice@x.test", Yes, 1)
		o := w.o
		o.Limits.Rate++
		other, err := Build(o, w.Asker)
		if err != nil || other == w.Asker {
			t.Fatalf("not made again: %v", err)
		}
		w.Asker = other
		w.want("alice@x.test", Yes, 2)
	})
}

// The three ways in which an answer outlives what it is worth.
func TestNoAnswerOutlivesItsWorth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.want("alice@x.test", Yes, 1)
		time.Sleep(2 * time.Hour)
		w.server.set(func() { delete(w.server.takes, "alice@x.test") })
		w.want("alice@x.test", No, 2)
		time.Sleep(6 * time.Minute)
		w.server.set(func() { w.server.err = context.DeadlineExceeded })
		// The yes that the no contradicted has no grace.
		w.want("alice@x.test", Unknown, 3)
	})
}

// A probe is a question like any other: it counts, and is not asked where none is left.
func TestAProbeIsCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(l *Limits) { l.Rate = 4 }) // two at once
		w.want("alice@x.test", Yes, 1)
		synctest.Wait()
		if a := w.want("bob@x.test", Unknown, 1); a.Why != "too many questions to the server behind" {
			t.Errorf("%+v", a)
		}
		w = newWorld(t, func(l *Limits) { l.Rate = 1 })
		w.want("alice@x.test", Yes, 1)
		synctest.Wait()
		if n := len(w.server.asked); n != 1 {
			t.Errorf("%d questions at a rate of one", n)
		}
	})
}

// A clock that is set back makes no answer younger than new, and none unusable.
func TestAClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Unix(1_800_000_000, 0)
		w := newWorld(t, nil)
		w.Asker.o.Now = func() time.Time { return now }
		w.want("alice@x.test", Yes, 1)
		now = now.Add(-time.Hour)
		if a := w.want("alice@x.test", Yes, 1); a.Age != 0 {
			t.Errorf("said in %v from now", -a.Age)
		}
	})
}
