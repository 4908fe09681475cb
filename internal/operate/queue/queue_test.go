package queue_test

import (
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/queue"
	"sallyport/test/operator"
)

// TestQueueActionsChangeWhatWasChosen makes every queue action by both ways in.
func TestQueueActionsChangeWhatWasChosen(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := operator.New(t)
			c, ctx := w.Clients(t)[way], t.Context()
			one, two := w.Put(t, "alice@local.test"), w.Put(t, "carol@local.test")
			held := func() (ids []string) {
				yes := true
				operator.Check(t, c.QueueList(ctx, operate.Select{Held: &yes}, func(m operate.Message) error { ids = append(ids, m.ID); return nil }))
				return ids
			}
			changed, err := c.QueueHold(ctx, operate.QueueChange{Select: operate.Select{Account: "alice@local.test"}, Reason: "odd", DryRun: true})
			if err != nil || changed.Count != 1 || len(held()) != 0 {
				t.Errorf("a dry run: %+v, %v, held %v", changed, err, held())
			}
			changed, err = c.QueueHold(ctx, operate.QueueChange{Select: operate.Select{Account: "alice@local.test"}, Reason: "odd"})
			if err != nil || changed.Count != 1 || len(held()) != 1 || held()[0] != one.String() {
				t.Errorf("hold: %+v, %v, held %v", changed, err, held())
			}
			changed, err = c.QueueRelease(ctx, operate.QueueChange{Select: operate.Select{IDs: []string{one.String(), two.String()}}})
			if err != nil || changed.Count != 1 || len(held()) != 0 {
				t.Errorf("release: %+v, %v, held %v", changed, err, held())
			}
			changed, err = c.QueueRetry(ctx, operate.QueueChange{Select: operate.Select{All: true}})
			if err != nil || changed.Count != 2 {
				t.Errorf("retry: %+v, %v", changed, err)
			}
			changed, err = c.QueueRemove(ctx, operate.QueueChange{Select: operate.Select{Sender: "carol@local.test"}, Reason: "unwanted"})
			if err != nil || changed.Count != 1 {
				t.Errorf("remove: %+v, %v", changed, err)
			}
			_, err = c.QueueShow(ctx, operate.QueueRef{ID: two.String()})
			operator.WantCode(t, err, call.CodeNotFound)
			for id, parts := range map[string][]string{one.String(): {"held", "odd", "released"}, two.String(): {"removed", "unwanted"}} {
				for _, part := range parts {
					if story := w.Story(t, id); !strings.Contains(story, part) {
						t.Errorf("the trace of %s lacks %q:\n%s", id, part, story)
					}
				}
			}
		})
	}
}

func TestQueueChoicesThatMakeNoSenseAreRefused(t *testing.T) {
	w := operator.New(t)
	c := operate.Direct(w.Operator)
	w.Put(t, "alice@local.test")
	for _, s := range []operate.Select{
		{},
		{All: true, Account: "alice@local.test"},
		{IDs: []string{"nonsense"}},
		{IDs: make([]string, queue.MaxIDs+1)},
		{Sender: "nonsense"},
		{Domain: "no domain"},
		{All: true, Limit: -1},
		{OlderThan: -time.Hour},
	} {
		_, err := c.QueueRemove(t.Context(), operate.QueueChange{Select: s})
		operator.WantCode(t, err, call.CodeInvalid)
	}
	if n := w.Spool.Stats().Entries; n != 1 {
		t.Errorf("%d messages are left", n)
	}
}

// What waits because of what is known of its account says so, and what is held says why it is held.
func TestWhatWaitsSaysWhy(t *testing.T) {
	w := operator.New(t)
	one, two := w.Put(t, "alice@local.test"), w.Put(t, "carol@local.test")
	w.With(func(o *operate.Options) {
		o.WhyWaits = func(id mail.ID) string { return map[mail.ID]string{one: "it is new", two: "it is new"}[id] }
	})
	for _, way := range []string{"socket", "direct"} {
		c, ctx := w.Clients(t)[way], t.Context()
		m, err := c.QueueShow(ctx, operate.QueueRef{ID: one.String()})
		if err != nil || m.State != queue.StateWaiting || m.Why() != "it is new" {
			t.Errorf("%s: %+v, %v", way, m, err)
		}
	}
	c, ctx := w.Clients(t)["direct"], t.Context()
	_, err := c.QueueHold(ctx, operate.QueueChange{Select: operate.Select{IDs: []string{two.String()}}, Reason: "odd"})
	operator.Check(t, err)
	if m, err := c.QueueShow(ctx, operate.QueueRef{ID: two.String()}); err != nil || m.Why() != "odd" {
		t.Errorf("%+v, %v", m, err)
	}
}
