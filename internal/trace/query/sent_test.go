package query

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// Only what an account of ours handed in, or what was sent on for one, was sent from
// here; a stranger's message with the same identifier changes nothing.
func TestSent(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	begin := h.now()
	write := func(f fact.Fact) {
		t.Helper()
		f.At = h.now()
		if err := l.Write(context.Background(), f); err != nil {
			t.Fatal(err)
		}
	}
	queue := h.deliver(l, 1, "x@far.test")
	others, err := mail.NewID(begin, strings.NewReader("123456789"))
	if err != nil {
		t.Fatal(err)
	}
	write(fact.Fact{Kind: fact.KindAccept, MessageID: "<theirs2@far.test>", Queue: others})
	write(fact.Fact{Kind: fact.KindAccept, MessageID: "<Ours@local.test>", Account: "alice@local.test", Queue: queue})
	write(fact.Fact{Kind: fact.KindAccept, MessageID: "<theirs@far.test>"})
	write(fact.Fact{Kind: fact.KindForward, MessageID: "<onward@far.test>", Account: "alice@local.test"})
	write(fact.Fact{Kind: fact.KindRefuse, MessageID: "<refused@local.test>", Account: "alice@local.test"})
	l.Stranger(fact.Fact{At: h.now(), Kind: fact.KindRefuse, MessageID: "<stranger@local.test>", Account: "alice@local.test"})
	for range 50 {
		write(fact.Fact{Kind: fact.KindAccept, MessageID: "<ours@local.test>"})
	}
	for round := range 2 {
		for id, want := range map[string]bool{
			"<ours@local.test>": true, "OURS@local.test": true, "<theirs@far.test>": false, "<onward@far.test>": true,
			"<refused@local.test>": false, "<stranger@local.test>": false, "<never@local.test>": false, "": false, "<>": false,
		} {
			if got, err := h.reader(l).Sent(t.Context(), id); err != nil || got != want {
				t.Errorf("round %d: %s: %v, %v", round, id, got, err)
			}
		}
		for id, want := range map[mail.ID]bool{queue: true, others: false, {}: false} {
			if got, err := h.reader(l).SentAs(t.Context(), id); err != nil || got != want {
				t.Errorf("round %d: %s: %v, %v", round, id, got, err)
			}
		}
		sync1(t, l)
	}
	h.add(20 * 24 * time.Hour)
	if at, err := h.reader(l).Since(t.Context()); err != nil || at.Before(begin.Add(-time.Second)) || at.After(begin.Add(time.Minute)) {
		t.Errorf("since %v, %v; want %v", at, err, begin)
	}
	// More of them than are read: in doubt it is ours.
	h.limits.Hits = 10
	for i := range 20 {
		write(fact.Fact{Kind: fact.KindAccept, MessageID: "<flood@local.test>", Text: fmt.Sprint(i)})
	}
	sync1(t, l)
	if got, err := h.reader(l).Sent(t.Context(), "<flood@local.test>"); err != nil || !got {
		t.Errorf("a flood hides what is ours: %v, %v", got, err)
	}
}
