package queue_test

import (
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/queue"
	"sallyport/test/operator"
)

// A message is read as it would leave, or its header alone, and that it was read is a fact first.
func TestAMessageIsRead(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := operator.New(t)
			c, id := w.Clients(t)[way], w.Put(t, "alice@local.test")
			read := func(headers bool) string {
				var b strings.Builder
				operator.Check(t, c.QueueRead(t.Context(), operate.QueueRead{ID: id.String(), Headers: headers}, func(p []byte) error { b.Write(p); return nil }))
				return b.String()
			}
			if got := read(false); got != "Subject: x\r\n\r\nhello\r\n" {
				t.Errorf("%q", got)
			}
			if got := read(true); got != "Subject: x\r\n\r\n" {
				t.Errorf("its header: %q", got)
			}
			if s := w.Story(t, id.String()); !strings.Contains(s, "the message was read") || !strings.Contains(s, "its header was read") || !strings.Contains(s, "by uid") {
				t.Errorf("the trace says nothing of it:\n%s", s)
			}
			for text, want := range map[string]call.Code{"nonsense": call.CodeInvalid, "06f1k4h8m2n5q7r9s1t3v5w7": call.CodeNotFound} {
				err := c.QueueRead(t.Context(), operate.QueueRead{ID: text}, nil)
				operator.WantCode(t, err, want)
				_, err = c.QueueShow(t.Context(), operate.QueueRef{ID: text})
				operator.WantCode(t, err, want)
			}
		})
	}
}

// The queue is summed up by who sent and by where it goes, the largest first, with what is held.
func TestTheQueueIsSummedUp(t *testing.T) {
	w := operator.New(t)
	c := operate.Direct(w.Operator)
	w.Put(t, "alice@local.test")
	id := w.PutTo(t, "alice@local.test", "carol@other.test")
	w.Put(t, "bob@local.test")
	_, err := c.QueueHold(t.Context(), operate.QueueChange{Select: operate.Select{IDs: []string{id.String()}}, Reason: "odd"})
	operator.Check(t, err)
	by := func(what string) (all []operate.QueueGroup) {
		operator.Check(t, c.QueueSummary(t.Context(), operate.QueueSummary{By: what}, func(g operate.QueueGroup) error { all = append(all, g); return nil }))
		return all
	}
	if got := by(queue.ByAccount); len(got) != 2 || got[0].Name != "alice@local.test" || got[0].Messages != 2 || got[0].Held != 1 || got[0].Recipients != 2 || got[0].Reason != "odd" || got[0].Octets == 0 || got[1].Name != "bob@local.test" {
		t.Errorf("by account: %+v", got)
	}
	if got := by(queue.ByDestination); len(got) != 2 || got[0].Name != "local.test" || got[0].Messages != 2 || got[0].Held != 0 || got[1].Name != "other.test" || got[1].Held != 1 {
		t.Errorf("by destination: %+v", got)
	}
	for _, bad := range []operate.QueueSummary{{}, {By: "colour"}, {By: queue.ByAccount, Select: operate.Select{Sender: "nonsense"}}} {
		err := c.QueueSummary(t.Context(), bad, nil)
		operator.WantCode(t, err, call.CodeInvalid)
	}
}

// Why what is held is held stands in the status, the commonest reason first, and how old the oldest is.
func TestWhyMessagesAreHeld(t *testing.T) {
	w := operator.New(t)
	c := operate.Direct(w.Operator)
	oldest := w.Put(t, "alice@local.test")
	for n, reason := range []string{"odd", "odd", "late"} {
		id := oldest
		if n > 0 {
			time.Sleep(2 * time.Millisecond)
			id = w.Put(t, "alice@local.test")
		}
		_, err := c.QueueHold(t.Context(), operate.QueueChange{Select: operate.Select{IDs: []string{id.String()}}, Reason: reason})
		operator.Check(t, err)
	}
	s, err := c.Status(t.Context())
	operator.Check(t, err)
	if why := s.Queue.Why; s.Queue.Held != 3 || len(why) != 2 || why[0].Reason != "odd" || why[0].Messages != 2 || why[1].Reason != "late" || !why[0].Oldest.Before(why[1].Oldest) {
		t.Errorf("%+v", s.Queue)
	}
	if !s.Health.Oldest.IsZero() {
		t.Errorf("what is held is not the oldest that waits: %v", s.Health.Oldest)
	}
}

// What cannot be redirected says so; without anybody who delivers nothing can be.
func TestARedirectThatMakesNoSense(t *testing.T) {
	w := operator.New(t)
	c, id := operate.Direct(w.Operator), w.Put(t, "alice@local.test")
	for name, r := range map[string]operate.QueueRedirect{
		"no message":  {ID: "nonsense", To: "bob@local.test"},
		"no address":  {ID: id.String(), To: "bob"},
		"no account":  {ID: id.String(), To: "bob@local.test", ForwardOf: "alice"},
		"nobody here": {ID: id.String(), To: "bob@local.test"},
	} {
		if _, err := c.QueueRedirect(t.Context(), r); operator.Code(err) != call.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Mail that is retried also wakes who delivers, and the fact says who wanted that.
func TestARetryWakes(t *testing.T) {
	w, woken := operator.New(t), 0
	w.With(func(o *operate.Options) { o.Wake = func() { woken++ } })
	id := w.Put(t, "alice@local.test")
	changed, err := operate.Direct(w.Operator).QueueRetry(t.Context(), operate.QueueChange{Select: operate.Select{Account: "alice@local.test"}, Reason: "it is up again"})
	if err != nil || changed.Count != 1 || woken != 1 {
		t.Errorf("%+v, %v, woken %d times", changed, err, woken)
	}
	a, err := w.Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: id.String(), Kinds: []fact.Kind{fact.KindRetry}})
	if err != nil || len(a.Entries) != 1 || a.Entries[0].Fact.Rule != fact.RuleOperator {
		t.Errorf("%+v, %v", a, err)
	}
}

// What still waits says why: the reason of its hold, or the newest answer that somebody got who does not have it.
func TestWhyAMessageWaits(t *testing.T) {
	old, late := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for want, m := range map[string]operate.Message{
		"odd": {State: queue.StateHeld, Reason: "odd"},
		"":    {State: queue.StateWaiting},
		"451 later (mx.remote.test)": {State: queue.StateWaiting, Recipients: []queue.Recipient{
			{State: queue.RecipientPending, Last: "450 busy", LastAt: old}, {State: queue.RecipientUntold, Last: "451 later", LastAt: late, Remote: "mx.remote.test"},
			{State: "delivered", Last: "250 ok", LastAt: late.Add(time.Hour)},
		}},
		"450 busy": {State: queue.StateWaiting, Recipients: []queue.Recipient{{State: queue.RecipientPending, Last: "450 busy", LastAt: old}}},
	} {
		if got := m.Why(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	held := true
	for _, s := range []operate.Select{{Held: &held}, {OlderThan: time.Hour}, {Domain: "a.test"}} {
		if !s.Chooses() {
			t.Errorf("%+v chooses nothing", s)
		}
	}
	if (operate.Select{All: true, Limit: 3}).Chooses() {
		t.Error("all is no choice")
	}
}
