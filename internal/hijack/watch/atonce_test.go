package watch

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/store"
)

// meeting is a store in which whoever looks something up waits until all others do so too, or for a moment.
type meeting struct {
	store.Store
	all     int64
	waiting atomic.Int64
}

func (s *meeting) Get(ctx context.Context, key []byte) ([]byte, error) {
	v, err := s.Store.Get(ctx, key)
	s.waiting.Add(1)
	for end := time.Now().Add(5 * time.Millisecond); s.waiting.Load()%s.all != 0 && time.Now().Before(end); {
		time.Sleep(100 * time.Microsecond)
	}
	return v, err
}

// A mail program opens several connections at once: whence they come is new once, to send and to read, for an account that is new,
// one that comes from elsewhere, and one that is contained.
func TestAPlaceIsNewOnceForAllWhoComeAtOnce(t *testing.T) {
	const connections = 12
	alice := addr(t, "alice@local.test")
	for _, reads := range []bool{false, true} {
		for _, known := range []bool{false, true} {
			t.Run(fmt.Sprintf("reads %v, known elsewhere %v", reads, known), func(t *testing.T) {
				w := newWorld(t, nil)
				home := Act{Account: alice, Network: "192.0.2.0/24", Program: "thunderbird", Reads: reads}
				if known {
					w.SignedIn(t.Context(), home)
					w.pass(24 * time.Hour)
				}
				away := home
				away.Network = "198.51.100.0/24"
				w.o.Store = &meeting{Store: w.st, all: connections}
				var all sync.WaitGroup
				for range connections {
					all.Go(func() { w.SignedIn(t.Context(), away) })
				}
				all.Wait()
				if len(w.found) > 0 {
					t.Errorf("%d incidents; the first because %s", len(w.found), w.found[0].Reason)
				}
			})
		}
	}
}
