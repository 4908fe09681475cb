package longqueue

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/test/load"
)

// probes are messages to a destination that lives, so many in a second.
const (
	probes    = 3000
	perSecond = 150
)

// silent is a next hop that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, c) // until the other side gives up
		}
	}()
	return ln.Addr().String()
}

// times keeps when something happened first, by the number at the end of its name.
type times struct {
	mu sync.Mutex
	at map[int]time.Time
}

func (x *times) note(name string) {
	now := time.Now()
	n, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	if err != nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, known := x.at[n]; !known {
		x.at[n] = now
	}
}

// Write notes an identifier that was acknowledged.
func (x *times) Write(b []byte) (int, error) {
	x.note(strings.TrimSpace(string(b)))
	return len(b), nil
}

// One destination that is dead, with half of the queue, delays the mail of others by less than
// double.
func TestADeadDestination(t *testing.T) {
	n := length(t)
	arrived := &times{at: map[int]time.Time{}}
	sink, err := load.NewSink(load.SinkOptions{Unknown: func(to string) bool {
		local, _, _ := strings.Cut(to, "@")
		arrived.note(local)
		return false
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	s := world(t, sink.Addr(), fmt.Sprintf("\n[route.\"dead.test\"]\nto = \"smtp://%s\"\ntls = \"none\"\n", silent(t)))
	start(t, s)
	delays := func(prefix string) (half, most time.Duration) {
		arrived.mu.Lock()
		clear(arrived.at)
		arrived.mu.Unlock()
		acked := &times{at: map[int]time.Time{}}
		to := make([]string, probes)
		for i := range to {
			to[i] = fmt.Sprintf("p-%d@remote.test", i)
		}
		o := person(t, s, prefix, probes, to...)
		o.Acked, o.PerSecond = acked, perSecond
		already := sink.Messages()
		send(t, s, o)
		for deadline := time.Now().Add(5 * time.Minute); sink.Messages() < already+probes; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d have arrived", sink.Messages()-already, probes)
			}
		}
		var all []time.Duration
		for i, at := range arrived.at {
			all = append(all, max(0, at.Sub(acked.at[i])))
		}
		slices.Sort(all)
		return all[len(all)/2], all[len(all)*99/100]
	}
	half, most := delays("alone")
	t.Logf("alone: half arrive within %v, 99 of 100 within %v", half, most)
	send(t, s, person(t, s, "dead", n/2, "x@dead.test"))
	halfBeside, mostBeside := delays("beside")
	now, peak := memory(t, s)
	t.Logf("beside %d for a destination that is dead: %v, %v; %d MiB resident, %d at most", n/2, halfBeside, mostBeside, now/mib, peak/mib)
	// Below 20 ms the clock tells of the machine, not of the queue.
	const grain = 20 * time.Millisecond
	if halfBeside > 2*max(half, grain) || mostBeside > 2*max(most, grain) {
		t.Errorf("beside a dead destination half take %v instead of %v, 99 of 100 %v instead of %v", halfBeside, half, mostBeside, most)
	}
}
