package processors

import (
	"runtime"
	"testing"
	"time"
)

// restore puts Go's own number back when a test ends.
func restore(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// However often it is called, the places are those of the last call, and the processors stay the same.
func TestBeside(t *testing.T) {
	restore(t)
	t.Setenv("GOMAXPROCS", "")
	runtime.SetDefaultGOMAXPROCS()
	n := runtime.GOMAXPROCS(0)
	s := Own()
	for _, c := range []struct{ beside, want int }{{1, n + 1}, {1, n + 1}, {3, n + 3}, {-1, n}, {0, n}, {1000, n + most}} {
		if got := s.Beside(c.beside); got != c.want || runtime.GOMAXPROCS(0) != c.want || s.Count() != n {
			t.Errorf("%d beside %d: %d places, Go has %d, want %d; %d processors", c.beside, n, got, runtime.GOMAXPROCS(0), c.want, s.Count())
		}
	}
}

// What the environment says stands, and so it does where nobody has a Share.
func TestBesideChangesNothing(t *testing.T) {
	restore(t)
	runtime.GOMAXPROCS(3)
	var none *Share
	if got := none.Beside(1); got != 3 || none.Count() != 3 || runtime.GOMAXPROCS(0) != 3 {
		t.Errorf("without a Share: %d, %d, %d", got, none.Count(), runtime.GOMAXPROCS(0))
	}
	t.Setenv("GOMAXPROCS", "3")
	s := Own()
	if got := s.Beside(1); got != 3 || s.Count() != 3 || runtime.GOMAXPROCS(0) != 3 {
		t.Errorf("against the environment: %d, %d, %d", got, s.Count(), runtime.GOMAXPROCS(0))
	}
}

// While something computes in the place beside, somebody who waits for a moment goes on in time. On
// one place he waits until the computation is interrupted, for ten milliseconds each time.
func TestAComputationIsBeside(t *testing.T) {
	restore(t)
	late := func(places int) time.Duration {
		runtime.GOMAXPROCS(places)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
		least := time.Hour // of several: other work on the machine only adds
		for range 5 {
			began := time.Now()
			for range 10 {
				time.Sleep(time.Millisecond)
			}
			least = min(least, time.Since(began))
		}
		close(stop)
		<-stopped
		return least
	}
	alone, beside := late(1), late(2)
	t.Logf("ten waits of a millisecond each took %v on one place, %v on two", alone, beside)
	if beside > alone/2 {
		t.Errorf("with a place more it took %v, and without %v", beside, alone)
	}
}
