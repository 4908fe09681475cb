package pebble_test

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/store"
)

// What says that a key is in no table is remembered, also while the memory tables are as
// large as they get: whoever enters a message asks for a key that nobody has.
func TestAbsentKeysAreNotLookedForOnTheDisk(t *testing.T) {
	var reads atomic.Int64
	o := options(t, errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".sst") && op.Kind == errorfs.OpFileReadAt {
			reads.Add(1)
		}
		return nil
	})))
	o.MemTableOctets, o.CacheOctets = 4<<20, 4<<20
	s, ctx := open(t, o), context.Background()
	put := func(n uint32) {
		key := binary.BigEndian.AppendUint32([]byte("key"), n*2)
		tx := store.Tx{Mutations: []store.Mutation{{Key: key, Value: make([]byte, 1000)}}}
		if _, err := s.Apply(ctx, tx, store.Durable); err != nil {
			t.Fatal(err)
		}
	}
	for n := range uint32(20_000) {
		put(n)
	}
	ask := func() (read int64) {
		before := reads.Load()
		for n := range uint32(1000) {
			key := binary.BigEndian.AppendUint32([]byte("key"), n*40+1)
			if _, err := s.Get(ctx, key); !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			}
		}
		return reads.Load() - before
	}
	// Every filter is read once, and those of new tables while tables are sorted.
	n := ask()
	for again := 0; n > 100 && again < 20; again++ {
		n = ask()
	}
	if n > 100 {
		t.Errorf("%d reads of tables for 1000 keys that are in none", n)
	}
}
