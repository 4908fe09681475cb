package memory

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Level is how much of what the process may take is left. The zero Level is enough.
type Level uint8

const (
	Enough Level = iota
	Short        // who is not known gets no more
	Out          // nobody gets any more
)

const (
	// every is how often it looks what is alive.
	every = 250 * time.Millisecond
	// collect is how many looks, while there is not enough, may find the same cycle of the collector before
	// there is another one.
	collect = 8
	// shortPart is how many hundredths of the limit are alive when memory is short, outPart when there
	// is none left; a level is over when it is slackPart less than where it begins.
	shortPart = 80
	outPart   = 90
	slackPart = 5
)

// Judge returns the level that follows when so many octets of a limit are alive.
func Judge(alive, limit int64, was Level) Level {
	if limit <= 0 || limit >= noLimit {
		return Enough
	}
	part := float64(alive) / float64(limit) * 100
	switch {
	case part >= outPart, was == Out && part >= outPart-slackPart:
		return Out
	case part >= shortPart, was >= Short && part >= shortPart-slackPart:
		return Short
	}
	return Enough
}

// Run looks now and then, and tells each level that follows another, until ctx ends. open is how
// many connections there are: where many have come and the process then rests, it gives back what
// their arrival left behind.
func (k *Keeper) Run(ctx context.Context, open func() int, tell func(l Level, alive, limit int64)) {
	var r rest
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		alive, cycles, allocated := living()
		limit := k.account()
		now, changed, stale := k.look(alive, limit, cycles)
		if changed {
			tell(now, alive, limit)
		}
		switch {
		case r.look(open(), allocated):
			debug.FreeOSMemory()
		case stale:
			runtime.GC()
		}
	}
}

// look judges what one look found. What is alive is known from the last cycle of the collector, and a
// process that does nothing more has none: stale says that there should be one.
func (k *Keeper) look(alive, limit int64, cycles uint64) (now Level, changed, stale bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now = Judge(alive, limit, k.level)
	changed, k.level = now != k.level, now
	if k.looks++; now == Enough || cycles != k.cycles {
		k.looks = 0
	}
	k.cycles = cycles
	if stale = k.looks >= collect; stale {
		k.looks = 0
	}
	return now, changed, stale
}

// account takes what the kernel holds for the group off what the collector may let stand, and
// returns what is left.
func (k *Keeper) account() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.own || k.group == 0 {
		return debug.SetMemoryLimit(-1)
	}
	// Less than a hundredth is not worth a word to the collector.
	if kernel := kernels(k.groups); kernel/(k.group/100+1) != k.kernel/(k.group/100+1) {
		k.kernel = kernel
		debug.SetMemoryLimit(k.limit())
	}
	return k.limit()
}

// living returns what is alive as of the last cycle of the collector, with the stacks and what the
// runtime needs for itself, how many cycles there were, and the octets ever allocated.
func living() (octets int64, cycles, allocated uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/os-stacks:bytes"},
		{Name: "/memory/classes/metadata/mcache/inuse:bytes"},
		{Name: "/memory/classes/metadata/mspan/inuse:bytes"}, {Name: "/memory/classes/metadata/other:bytes"},
		{Name: "/memory/classes/other:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(samples)
	counted := len(samples) - 2
	for _, s := range samples[:counted] {
		octets += int64(s.Value.Uint64())
	}
	return octets, samples[counted].Value.Uint64(), samples[counted+1].Value.Uint64()
}
