package spool_test

import (
	"errors"
	"testing"
	"time"

	"sallyport/internal/spool"
)

// Whatever the clock is set to, a message is due when as much time has passed as was to pass, a claim lives as long, and
// the record says when the message came both by the clock and by the time that passes.
func TestTheQueueGoesByTheTimeThatPasses(t *testing.T) {
	const day, years = 24 * time.Hour, 10 * 365 * 24 * time.Hour
	for name, set := range map[string]time.Duration{"a day ahead": day, "ten years ahead": years, "a day back": -day, "ten years back": -years} {
		t.Run(name, func(t *testing.T) {
			var wall *clock
			h := newHouse(t, func(o *spool.Options) {
				passed := o.Now
				wall = &clock{t: passed()}
				o.Passed, o.Now = passed, wall.now
			})
			before := localMessage("alice@local.test", "bob@local.test")
			c := put(t, h.q, before, "hello")
			wall.advance(set)
			if _, err := h.q.Claim(ctx, before.ID, "test", time.Minute, h.clock.now()); !errors.Is(err, spool.ErrClaimed) {
				t.Errorf("a claim ends with the setting of a clock: %v", err)
			}
			s := h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 451))
			after := localMessage("alice@local.test", "bob@local.test")
			c = put(t, h.q, after, "hello")
			h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 451))
			h.wantDue()
			h.restart()
			h.wantDue()
			if at, ok, err := h.q.NextDue(ctx); err != nil || !ok || at.Sub(h.clock.now()) > 5*time.Minute {
				t.Errorf("next due %v %v %v", at, ok, err)
			}
			if shown := h.q.Shown(s.NextTry); shown.Sub(wall.now()) != s.NextTry.Sub(h.clock.now()) {
				t.Errorf("the next try is shown as %v at %v", shown, wall.now())
			}
			for _, m := range []spool.Message{before, after} {
				e, err := h.q.Get(ctx, m.ID)
				if err != nil || !e.Since.Equal(h.clock.now()) || e.Received.Equal(e.Since) != (m.ID == before.ID) {
					t.Errorf("received %v, since %v, %v", e.Received, e.Since, err)
				}
			}
			h.clock.advance(6 * time.Minute)
			if due := h.due(); len(due) != 2 {
				t.Errorf("%d are due", len(due))
			}
			for _, m := range []spool.Message{before, after} {
				h.settle(h.claim(m.ID).Token, spool.Final{}, outcome("bob@local.test", 451))
			}
			n, err := h.q.Retry(ctx, spool.Filter{}, nil)
			h.wantN(n, err, 2)
			if due := h.due(); len(due) != 2 {
				t.Errorf("%d are due when they are to be tried at once", len(due))
			}
		})
	}
}

// Without another time that passes, the clock is it.
func TestTheClockAlonePasses(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test")
	c := put(t, h.q, m, "hello")
	if !c.Entry.Since.Equal(c.Entry.Received) || !h.q.Shown(c.Entry.NextTry).Equal(c.Entry.NextTry) || !h.q.Shown(time.Time{}).IsZero() {
		t.Errorf("%+v", c.Entry)
	}
}
