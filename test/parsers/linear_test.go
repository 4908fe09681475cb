package parsers

import (
	"cmp"
	"hash/fnv"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

const (
	// screened is how many octets every shape and reader are tried with.
	screened = 16 << 10
	// suspects is how many of the costliest pairs are measured.
	suspects = 8
	// least is the processor time that a figure is made of.
	least = 250 * time.Millisecond
	// hundredfold is what a hundred times the octets may cost.
	hundredfold = 200
	// perMiB is what 1 MiB may cost on a machine that hashes with FNV-1a at yardstick,
	// with half as much again for what the yardstick does not tell of the machine.
	perMiB    = 200 * time.Millisecond * 3 / 2
	yardstick = 1100 * time.Microsecond // for 1 MiB
)

// A hundred times the octets cost at most two hundred times the processor time, and
// 1 MiB about 0.2 s at most, at every reader for every shape. All pairs are tried with few
// octets; those that cost most are measured, so that what grows faster than it should
// is among them.
func TestCostGrowsWithTheOctets(t *testing.T) {
	// A server's heap is far larger than this process's: what is collected here for every
	// few megabytes would not be there.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	all := readers(t)
	for _, s := range costliest(t, all) {
		growth, rate := measured(t, s)
		for range 4 { // what else the machine does may have been in it
			if growth <= hundredfold && rate <= perMiB {
				break
			}
			again, rateAgain := measured(t, s)
			growth, rate = min(growth, again), min(rate, rateAgain)
		}
		t.Logf("%-45s %-35s 100 times the octets cost %5.1f times as much, 1 MiB %v", s.r.name, s.s.name, growth, rate)
		if growth > hundredfold {
			t.Errorf("%s with %s: a hundred times the octets cost %.0f times as much", s.r.name, s.s.name, growth)
		}
		if rate > perMiB {
			t.Errorf("%s with %s: 1 MiB costs %v", s.r.name, s.s.name, rate)
		}
	}
}

// suspect is a pair that may cost too much.
type suspect struct {
	r    reader
	s    shape
	cost time.Duration
}

// costliest returns the costliest shapes, of one reader one, and the pair that started
// this: words beyond ASCII in Authentication-Results.
func costliest(t *testing.T, all []reader) []suspect {
	var out []suspect
	for _, r := range all {
		var worst suspect
		for _, s := range shapes() {
			octets := r.wrap(s.text(min(screened, r.most*15/16)))
			begin := cpu(t)
			r.read(octets)
			spent := cpu(t) - begin
			if r.name == "a stranger's Authentication-Results" && s.name == "long non-ASCII words" {
				out = append(out, suspect{r, s, time.Hour})
			}
			if spent > worst.cost {
				worst = suspect{r, s, spent}
			}
		}
		out = append(out, worst)
	}
	slices.SortFunc(out, func(a, b suspect) int { return cmp.Compare(b.cost, a.cost) })
	return out[:suspects]
}

// measured returns how much more a hundred times the octets cost, and what 1 MiB costs
// as on a machine that is not busy with anything else.
func measured(t *testing.T, s suspect) (growth float64, rate time.Duration) {
	most := s.r.most * 15 / 16
	few, many := s.r.wrap(s.s.text(most/100)), s.r.wrap(s.s.text(most))
	small := cost(t, least, func() { s.r.read(few) })
	large := cost(t, least, func() { s.r.read(many) })
	rate = figure{octets: len(many), cost: large}.perMiB()
	return float64(large) / float64(small), time.Duration(float64(rate) / slowness(t))
}

// slowness is how much slower the machine is now than one that does nothing else.
func slowness(t *testing.T) float64 {
	return max(1, float64(cost(t, least/5, hashed))/float64(yardstick))
}

// hashed is work that costs the same everywhere but for how fast the machine is now.
func hashed() {
	h := fnv.New64a()
	var chunk [4096]byte
	for range mebi / len(chunk) {
		_, _ = h.Write(chunk[:]) // a hash takes everything
	}
}
