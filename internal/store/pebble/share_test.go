package pebble_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/store"
)

// Twenty clients have at most a fifth of a sync each: what is applied while one is on its way shares the next.
func TestTwentyShareTheirSyncs(t *testing.T) {
	const clients, most = 20, 20 / 5
	var syncs atomic.Int64
	var held atomic.Pointer[chan struct{}] // a sync waits until it is closed
	o := options(t, errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo) {
			syncs.Add(1)
			if until := held.Load(); until != nil {
				<-*until
			}
		}
		return nil
	})))
	o.LazyTime = time.Hour // nothing is synced by itself
	s, ctx := open(t, o), context.Background()
	for round := range 10 {
		key := func(client int) []byte { return fmt.Appendf(nil, "%d-%d", round, client) }
		until, before := make(chan struct{}), syncs.Load()
		held.Store(&until)
		var all sync.WaitGroup
		for client := range clients {
			all.Go(func() {
				tx := store.Tx{Mutations: []store.Mutation{{Key: key(client), Value: []byte("v")}}, Facts: [][]byte{[]byte("f")}}
				if _, err := s.Apply(ctx, tx, store.Durable); err != nil {
					t.Error(err)
				}
			})
		}
		eventually(t, "all are applied", func() bool {
			for client := range clients {
				if _, err := s.Get(ctx, key(client)); err != nil {
					return false
				}
			}
			return true
		})
		close(until)
		all.Wait()
		if n := syncs.Load() - before; n < 1 || n > most {
			t.Errorf("%d syncs for %d commits at once, want 1 to %d", n, clients, most)
		}
	}
}
