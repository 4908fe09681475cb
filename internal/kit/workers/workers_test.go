package workers

import (
	"runtime"
	"strings"
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

// Goroutines are used again while they linger, and end afterwards. They are told by their
// names, since a count of all goroutines has those of other tests in it.
func TestGoroutinesAreKeptForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(time.Second)
		run := func() string {
			name := make(chan string)
			c.Go(func() { name <- goroutine() })
			defer synctest.Wait()
			return <-name
		}
		first := run()
		for range 100 {
			time.Sleep(900 * time.Millisecond)
			synctest.Wait()
			if other := run(); other != first {
				t.Fatalf("%s ran it, not %s that waited", other, first)
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if other := run(); other == first {
			t.Fatalf("%s waited for more than its time", other)
		}
		time.Sleep(2 * time.Second) // what is left then fails the test
	})
}

// After its end a crew runs what it is given, and keeps nobody.
func TestNobodyWaitsAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(time.Hour)
		var names []string
		run := func() {
			c.Do(func() { names = append(names, goroutine()) })
			synctest.Wait()
		}
		run()
		run()
		c.Close()
		synctest.Wait()
		run()
		run()
		if names[0] != names[1] || names[1] == names[2] || names[2] == names[3] {
			t.Errorf("they ran on %q", names)
		}
		// Whoever waited on would fail the test: its time does not pass any more.
	})
}

// goroutine is the name of the goroutine that asks.
func goroutine() string {
	text := make([]byte, 64)
	name, _, _ := strings.Cut(string(text[:runtime.Stack(text, false)]), " [")
	return name
}

// Whoever has something done waits until it was done, on another goroutine than its own.
func TestDoWaitsForItsEnd(t *testing.T) {
	for name, fresh := range map[string]func() *Crew{"made": func() *Crew { return New(time.Second) }, "zero": func() *Crew { return &Crew{} }} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var by string
				began := time.Now()
				fresh().Do(func() {
					time.Sleep(time.Minute)
					by = goroutine()
				})
				if took := time.Since(began); took < time.Minute || by == "" || by == goroutine() {
					t.Errorf("it took %v, and %q did it", took, by)
				}
				time.Sleep(2 * time.Second) // a bubble waits for its goroutines
			})
		})
	}
}
