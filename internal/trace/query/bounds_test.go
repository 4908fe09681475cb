package query

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"sallyport/internal/fact"
	"sallyport/internal/trace"
)

func (h *house) write(l *trace.Log, facts ...fact.Fact) {
	h.t.Helper()
	if err := l.Write(context.Background(), facts...); err != nil {
		h.t.Fatal(err)
	}
}

// Of facts that are not indexed yet a query reads the newest, up to its bound.
func TestTheTailIsBounded(t *testing.T) {
	h := newHouse(t)
	h.limits.Tail = 10
	l := h.open()
	for i := range 30 {
		h.write(l, fact.Fact{At: h.now(), Kind: fact.KindAccept, Queue: testID(t, i), Recipients: []string{"bob@local.test"}})
	}
	if a := h.ask(l, "bob@local.test"); len(a.Entries) != 10 || a.Entries[0].Seq != 21 {
		t.Errorf("%d entries from %d", len(a.Entries), a.Entries[0].Seq)
	}
	sync1(t, l)
	if a := h.ask(l, "bob@local.test"); len(a.Entries) != 30 {
		t.Errorf("indexed: %d entries", len(a.Entries))
	}
}

// Index entries of a network are in no order of time: where there are more than are read,
// the answer says so.
func TestAWideNetworkIsReadInPart(t *testing.T) {
	h := newHouse(t)
	h.limits.Scanned = 20
	l := h.open()
	for i := range 30 {
		h.write(l, fact.Fact{At: h.now(), Kind: fact.KindAccept, Queue: testID(t, i), Peer: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})})
	}
	sync1(t, l)
	if a := h.ask(l, "192.0.2.0/24"); !a.Partial || len(a.Entries) != 20 {
		t.Errorf("partial %v, %d entries", a.Partial, len(a.Entries))
	}
	if a := h.ask(l, "192.0.2.0/28"); a.Partial || len(a.Entries) != 16 {
		t.Errorf("narrower: partial %v, %d entries", a.Partial, len(a.Entries))
	}
}

// One message adds so many facts to an answer, and the answer has so many entries.
func TestStoriesAndAnswersAreBounded(t *testing.T) {
	h := newHouse(t)
	h.limits.Story, h.limits.Entries = 15, 40
	l := h.open()
	for m := range 5 {
		h.write(l, fact.Fact{At: h.now(), Kind: fact.KindAccept, Queue: testID(t, m), MessageID: fmt.Sprintf("<m%d@local.test>", m), Recipients: []string{"bob@local.test"}})
		for range 30 {
			h.write(l, fact.Fact{At: h.now(), Kind: fact.KindOutcome, Queue: testID(t, m)})
		}
	}
	sync1(t, l)
	if a := h.ask(l, "<m1@local.test>"); len(a.Entries) != 15 || !a.Short {
		t.Errorf("a story of %d entries, short %v", len(a.Entries), a.Short)
	}
	// Stories that do not fit into the answer are left out of all its pages.
	if a := h.ask(l, "bob@local.test"); len(a.Entries) != 5 || !a.Exact || a.Short || a.More() {
		t.Errorf("%d entries, exact %v, short %v, more %v", len(a.Entries), a.Exact, a.Short, a.More())
	}
}

func TestLimitsThatCannotWorkAreRefused(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	for name, spoil := range map[string]func(*Options){
		"no store": func(o *Options) { o.Store = nil }, "no log": func(o *Options) { o.Log = nil }, "no logger": func(o *Options) { o.Logger = nil },
		"no hits": func(o *Options) { o.Limits.Hits = 0 }, "no tail": func(o *Options) { o.Limits.Tail = -1 },
	} {
		r := h.reader(l)
		o := r.o
		spoil(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
