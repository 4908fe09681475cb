package fsys

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
)

// Everybody who asks while a sync runs is served by one more sync, by no sync that
// began before the question, and told when that one fails.
func TestSyncsAreShared(t *testing.T) {
	for name, second := range map[string]error{"success": nil, "fault": syscall.EIO} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { share(t, second) })
		})
	}
}

// share lets 50 ask while a first sync runs; the sync after it ends as told.
func share(t *testing.T, second error) {
	var syncs atomic.Int64
	release := make(chan struct{})
	g := NewGroup(func(string) error {
		if syncs.Add(1) == 1 {
			<-release
			return nil
		}
		return second
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.Do("/d"); err != nil {
			t.Errorf("the first: %v", err)
		}
	})
	synctest.Wait() // the first sync runs
	for range 50 {
		wg.Go(func() {
			if err := g.Do("/d"); !errors.Is(err, second) {
				t.Errorf("one of those who waited: %v", err)
			}
		})
	}
	synctest.Wait() // all stand in line
	close(release)
	wg.Wait()
	synctest.Wait()
	if n := syncs.Load(); n != 2 {
		t.Errorf("51 questions took %d syncs", n)
	}
	if !g.Idle() {
		t.Error("what is idle is remembered")
	}
}
