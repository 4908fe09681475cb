package trace

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/store"
)

// filed counts the index entries of facts and of strangers' that lie where format 1 filed
// them, and where this one does.
func filed(t *testing.T, st store.Store) (earlier, now int) {
	t.Helper()
	for space, n := range map[store.Space]*int{
		store.SpaceFactIndex: &earlier, store.SpaceStrangersIndex: &earlier,
		store.SpaceFactIDs: &now, store.SpaceFactTerms: &now, store.SpaceStrangersIDs: &now, store.SpaceStrangersTerms: &now,
	} {
		err := st.Scan(context.Background(), space.All(), func(_, _ []byte) (bool, error) { *n++; return true, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	return earlier, now
}

// What format 1 filed is found beside what is filed now, is filed there again if the log
// has to go back to it, and goes when it is old.
func TestWhatFormat1FiledIsFoundAndForgotten(t *testing.T) {
	h := newHouse(t)
	h.o.Limits.Keep, h.o.Limits.StrangersKeep = 10*24*time.Hour, 10*24*time.Hour
	l := h.open()
	p := *l.at.Load()
	p.Stretched = ^uint64(0) // files all as format 1
	l.at.Store(&p)
	stranger := func() {
		l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse, Peer: testPeer(), Recipient: "bob@remote.test"})
		sync1(t, l)
	}
	h.deliver(l, 1, "bob@remote.test")
	stranger()
	earlier, now := filed(t, h.st)
	if earlier == 0 || now != 0 {
		t.Fatalf("%d and %d entries", earlier, now)
	}
	asFormat1(t, h)

	l = h.open()
	if in := l.Layout(); in.Stretched != l.Next() {
		t.Fatalf("%+v, and the next fact is %d", in, l.Next())
	}
	h.clock.add(5 * 24 * time.Hour)
	h.deliver(l, 2, "bob@remote.test")
	stranger()
	l = h.open() // remembers where it changed
	if e, n := filed(t, h.st); e != earlier || n == 0 {
		t.Errorf("%d and %d entries, want %d of format 1", e, n, earlier)
	}
	if a := h.ask(l, "bob@remote.test"); len(a.Entries) != 12 {
		t.Errorf("found %q", kinds(a))
	}
	if a := h.ask(l, "<m1@local.test>"); len(a.Entries) != 5 {
		t.Errorf("the story of what format 1 filed: %q", kinds(a))
	}
	h.clock.add(6 * 24 * time.Hour)
	sync1(t, l)
	retain(t, l)
	sync1(t, l)
	if e, n := filed(t, h.st); e != 0 || n == 0 {
		t.Errorf("%d entries of format 1 are left, %d of this one", e, n)
	}
	if a := h.ask(l, "bob@remote.test"); len(a.Entries) != 6 {
		t.Errorf("left: %q", kinds(a))
	}
}

// asFormat1 takes from the stored progress what format 1 did not know.
func asFormat1(t *testing.T, h *house) {
	t.Helper()
	ctx := context.Background()
	raw, err := h.st.Get(ctx, []byte(stateKey))
	if err != nil {
		t.Fatal(err)
	}
	var p progress
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	p.Stretched = 0
	if raw, err = json.Marshal(p); err != nil || strings.Contains(string(raw), "stretched") {
		t.Fatalf("%s, %v", raw, err)
	}
	if _, err := h.st.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: []byte(stateKey), Value: raw}}}, store.Durable); err != nil {
		t.Fatal(err)
	}
}

// Where the log lost how far it came, it files anew all that is kept, whoever filed it before.
func TestALostPlaceHidesNothing(t *testing.T) {
	for _, format1 := range []bool{true, false} {
		h := newHouse(t)
		l := h.open()
		if format1 {
			p := *l.at.Load()
			p.Stretched = ^uint64(0)
			l.at.Store(&p)
		}
		h.deliver(l, 1, "bob@remote.test")
		sync1(t, l)
		if _, err := h.st.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: []byte(stateKey), Delete: true}}}, store.Durable); err != nil {
			t.Fatal(err)
		}
		l = h.open()
		h.deliver(l, 2, "bob@remote.test")
		sync1(t, l)
		if a := h.ask(l, "bob@remote.test"); len(a.Entries) != 10 {
			t.Errorf("format 1 %v: found %q", format1, kinds(a))
		}
	}
}
