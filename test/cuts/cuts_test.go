package cuts

import (
	"os"
	"strconv"
	"testing"
)

// extent is how much is tried.
type extent struct {
	seed       uint64
	histories  int  // of the queue
	acts       int  // of each
	every      int  // every so manieth operation is a cut
	parts      int  // and of a whole server
	concurrent int  // histories of several clients
	all        bool // each with every kind of loss
}

// size is a sample, and all of it with SALLYPORT_CUTS=1. SALLYPORT_CUTS_SEED is where seeds begin.
func size(t *testing.T) extent {
	t.Helper()
	e := extent{seed: 1, histories: 1, acts: 120, every: 4, parts: 17, concurrent: 40}
	if s := os.Getenv("SALLYPORT_CUTS_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SALLYPORT_CUTS_SEED: %v", err)
		}
		e.seed = n
	}
	if os.Getenv("SALLYPORT_CUTS") != "" {
		e.histories, e.acts, e.every, e.parts, e.concurrent, e.all = 2, 200, 1, 1, 3000, true
	}
	return e
}
