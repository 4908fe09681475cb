package trace

import (
	"context"
	"testing"

	"sallyport/internal/damage"
	"sallyport/internal/store"
)

// A part of the tree is lost, or where the sequencer was: both are made anew of the facts, and the checkpoints fit.
func TestTheTreeIsMadeAnew(t *testing.T) {
	for name, lose := range map[string][]byte{"hashes": chunkKey(15), "the last hashes": chunkKey(31), "progress": []byte(stateKey)} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			l := h.open()
			for i := range 100 {
				h.deliver(l, i, "bob@remote.test")
			}
			sync1(t, l)
			if _, err := h.st.Get(context.Background(), lose); err != nil {
				t.Fatalf("there is nothing to lose: %v", err)
			}
			if _, err := h.st.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{{Key: lose, Delete: true}}}, store.Durable); err != nil {
				t.Fatal(err)
			}
			var told []damage.Found
			h.o.Damage = func(f damage.Found) { told = append(told, f) }
			after := h.open()
			if r := h.verify(after); !r.OK() || r.Checkpoints == 0 {
				t.Errorf("%+v", r)
			}
			if name != "progress" && len(told) != 1 {
				t.Errorf("told %+v", told)
			}
		})
	}
}

// A checkpoint covers facts that the store does not have: that is told of, and which.
func TestFactsBeyondTheStoreAreListed(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	for i := range 20 {
		h.deliver(l, i, "bob@remote.test")
	}
	sync1(t, l)
	again := newHouse(t)
	again.o.Key, again.o.CheckpointDir = h.o.Key, h.o.CheckpointDir
	var told []damage.Found
	again.o.Damage = func(f damage.Found) { told = append(told, f) }
	again.open()
	if len(told) != 1 || told[0].Kind != damage.Trace || told[0].Lost == "" {
		t.Errorf("told %+v", told)
	}
}
