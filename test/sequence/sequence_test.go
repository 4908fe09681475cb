// Package sequence sends random command sequences through the real engine, intake,
// gate, spool, dispatch and client, in one process, and holds five invariants
// against what happened:
//
//  1. an outbound message has a live Grant that owns its sender;
//  2. a 250 to end of data means exactly one durable copy, octet by octet;
//  3. no 250 means none;
//  4. each octet belongs to exactly one command, chunk or body: each command gets
//     one reply, and what is stored is what was sent as content;
//  5. octets that leave hold no bare CR, no bare LF and no NUL.
//
// The seed is printed, and another in each run; SALLYPORT_SEED repeats one, and
// SALLYPORT_SEQUENCES changes its length: make model takes a hundred thousand.
package sequence

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	defaultSequences = 20_000
	perConnection    = 25 // sequences on one connection at most
	clients          = 8
)

func TestRandomCommandSequences(t *testing.T) {
	total := fromEnv(t, "SALLYPORT_SEQUENCES", defaultSequences)
	seed := uint64(fromEnv(t, "SALLYPORT_SEED", int(time.Now().UnixNano()&0x7fffffff)))
	t.Logf("seed %d", seed)
	w := newWorld(t)
	var done, commands atomic.Int64
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for done.Load() < int64(total) && !t.Failed() {
				s := w.connect(r)
				n := 1 + r.IntN(perConnection)
				for range n {
					if !s.sequence() {
						break
					}
					done.Add(1)
				}
				s.end()
				commands.Add(int64(s.commands))
				if s.fault != "" {
					t.Errorf("seed %d: %s\n%s", seed, s.fault, s.transcript())
				}
			}
		})
	}
	wg.Wait()
	w.settle()
	t.Logf("%d sequences, %d commands, %d accepted, %d of them outbound", done.Load(), commands.Load(), w.accepted.Load(), w.outbound.Load())
	if !t.Failed() && (w.accepted.Load() < int64(total/50) || w.outbound.Load() < int64(total/500)) {
		t.Error("too few messages were accepted for the invariants to mean anything")
	}
}

func fromEnv(t *testing.T, name string, otherwise int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// faultf notes the first thing that went wrong in a session.
func (s *session) faultf(format string, args ...any) bool {
	if s.fault == "" {
		s.fault = fmt.Sprintf(format, args...)
	}
	return false
}
