package workers

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Every function runs, however many are given at once, and none waits for another.
func TestAllRunAtOnce(t *testing.T) {
	for name, fresh := range map[string]func() *Crew{"made": func() *Crew { return New(time.Second) }, "zero": func() *Crew { return &Crew{} }} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 50
				c := fresh()
				for range 3 {
					var all sync.WaitGroup
					together := make(chan struct{})
					var inside atomic.Int64
					for range n {
						all.Add(1)
						c.Go(func() {
							defer all.Done()
							if inside.Add(1) == n {
								close(together)
							}
							<-together
						})
					}
					all.Wait()
				}
				time.Sleep(2 * time.Second) // a bubble waits for its goroutines
			})
		})
	}
}

// Goroutines are used again while they linger, and end afterwards.
func TestGoroutinesAreKeptForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(time.Second)
		run := func() {
			done := make(chan struct{})
			c.Go(func() { close(done) })
			<-done
			synctest.Wait()
		}
		before := runtime.NumGoroutine()
		for range 100 {
			run()
			time.Sleep(900 * time.Millisecond)
			synctest.Wait()
			if n := runtime.NumGoroutine() - before; n != 1 {
				t.Fatalf("%d goroutines are kept", n)
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n != 0 {
			t.Fatalf("%d goroutines are left", n)
		}
	})
}
