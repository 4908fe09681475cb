// Package processors lets long computations run in parallel with everything else, instead of in
// turn with it.
//
// Go runs as many goroutines at once as there are processors, and lets each compute for ten
// milliseconds before another gets its turn; where one always computes, what arrives at a socket waits
// for as long before it is even seen. With one place more for each computation, it is the system that
// shares the processors among threads, which it does in smaller parts and at once when somebody
// wakes.
//
// It promises that the places are those of the last call, however often it is called, and that
// what the environment says (GOMAXPROCS) stands.
package processors

import (
	"os"
	"runtime"
	"sync/atomic"
)

// most bounds the places beside: each has caches of its own.
const most = 256

// Share knows how many processors the process has. A nil Share changes nothing. Make it with
// Own, once in a process; it is safe for concurrent use.
type Share struct{ own atomic.Int64 }

// Own is the share of this process, before anything is beside.
func Own() *Share {
	s := &Share{}
	s.own.Store(int64(runtime.GOMAXPROCS(0)))
	return s
}

// Count returns how many processors the process may use.
func (s *Share) Count() int {
	if s == nil {
		return runtime.GOMAXPROCS(0)
	}
	return int(s.own.Load())
}

// Beside gives long computations so many places beside those for everything else, and returns how many
// places there are now. It looks anew how many processors there are, since Go no longer does so
// by itself from then on.
func (s *Share) Beside(computations int) int {
	if s == nil || os.Getenv("GOMAXPROCS") != "" {
		return runtime.GOMAXPROCS(0)
	}
	runtime.SetDefaultGOMAXPROCS()
	s.own.Store(int64(runtime.GOMAXPROCS(0)))
	runtime.GOMAXPROCS(s.Count() + max(0, min(computations, most)))
	return runtime.GOMAXPROCS(0)
}
