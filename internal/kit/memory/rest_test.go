package memory

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// look is what one look finds.
type look struct {
	open int
	busy bool
	work uint64 // octets more
}

// A collection follows the start, and when many connections have come or work was done, and nothing is done any more,
// once, and not while something is, nor for those who come instead of others.
func TestRest(t *testing.T) {
	still := func(open, looks int) (all []look) {
		for range looks {
			all = append(all, look{open: open})
		}
		return all
	}
	for name, tt := range map[string]struct {
		looks []look
		want  int
	}{
		"nobody is there":             {still(0, 1000), 0},
		"fewer than many":             {still(many-1, 1000), 0},
		"many":                        {still(many, 1000), 1},
		"many, at one look":           {[]look{{0, true, 0}, {many, true, 0}, {many, false, 0}, {many, true, 0}}, 0},
		"many, and busy":              {[]look{{many, true, 0}, {many, false, 0}, {many, true, 0}, {many, false, 0}, {many, true, 0}}, 0},
		"work":                        {append([]look{{0, true, workOctets}}, still(0, 1000)...), 1},
		"work, bit by bit":            {append([]look{{0, true, workOctets / 2}, {0, false, 0}, {0, true, workOctets / 2}}, still(0, 1000)...), 1},
		"little work":                 {append([]look{{0, true, workOctets - restOctets - 1}}, still(0, 1000)...), 0},
		"work that goes on":           {[]look{{0, true, workOctets}, {0, false, 0}, {0, true, workOctets}, {0, false, 0}, {0, true, 0}}, 0},
		"work again, soon":            {append(append([]look{{0, true, workOctets}}, still(0, 10)...), append([]look{{0, true, workOctets}}, still(0, 50)...)...), 1},
		"work again":                  {append(append([]look{{0, true, workOctets}}, still(0, 10)...), append([]look{{0, true, workOctets}}, still(0, 200)...)...), 2},
		"many more":                   {append(still(many, 200), still(2*many, 200)...), 2},
		"many more, at once":          {append(still(many, 10), still(2*many, 100)...), 1},
		"many more, for long":         {append(still(many, 10), still(2*many, 200)...), 2},
		"few more":                    {append(still(many, 200), still(2*many-1, 200)...), 1},
		"gone, and come again":        {append(append(still(many, 200), still(0, 1)...), still(many, 200)...), 2},
		"gone, and come again, often": {append(append(still(many, 50), still(0, 1)...), still(many, 50)...), 1},
	} {
		r, allocated, got := rest{}, uint64(1<<40), 0
		for i := range 3 {
			if collects := r.look(0, allocated); collects != (i == restLooks) {
				t.Errorf("%s: at look %d of a process that has started: %v", name, i, collects)
			}
		}
		for _, l := range tt.looks {
			if allocated += restOctets - 1; l.busy {
				allocated += 1 + l.work
			}
			if r.look(l.open, allocated) {
				got++
			}
		}
		if got != tt.want {
			t.Errorf("%s: collected %d times, want %d", name, got, tt.want)
		}
	}
}

// A process that has started and rests gives back what was garbage, and what is free.
func TestRestGivesBack(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // no cycle comes by itself
	const garbage = 64 << 20
	var k Keeper
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		k.Run(ctx, func() int { return 0 }, func(Level, int64, int64) {})
	}()
	defer func() { cancel(); <-ended }()
	held := make([]byte, garbage)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	runtime.KeepAlive(held)
	held = nil
	before := released()
	for began := time.Now(); released()-before < garbage/2; time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("%d octets were given back, of %d", released()-before, garbage)
		}
	}
}

// released is how much of the heap the system has back.
func released() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}
