package parsers

import (
	"cmp"
	"hash/fnv"
	"slices"
	"testing"
	"time"

	"sallyport/test/cpu"
)

const (
	// screened is how many octets every shape and reader are tried with.
	screened = 16 << 10
	// suspects is how many of the costliest pairs are measured.
	suspects = 8
	// attempts is how often one is measured that seems to cost too much: other work on the
	// machine empties the caches of this one.
	attempts = 3
	// least is the processor time that a figure is made of; two make a ratio.
	least = 500 * time.Millisecond
	// hundredfold is what a hundred times the octets may cost.
	hundredfold = 200
	// perMiB is what 1 MiB may cost on a machine that hashes with FNV-1a at yardstick.
	perMiB    = 200 * time.Millisecond
	yardstick = 1100 * time.Microsecond // for 1 MiB
)

// A hundred times the octets cost at most two hundred times the processor time, and
// 1 MiB at most 0.2 s, at every reader for every shape. All pairs are tried with few
// octets; those that cost most are measured, so that what grows faster than it should
// is among them.
func TestCostGrowsWithTheOctets(t *testing.T) {
	all := readers(t)
	for _, s := range costliest(t, all) {
		growth, rate := measured(t, s)
		for n := 1; n < attempts && (growth > hundredfold || rate > perMiB); n++ {
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
	cost time.Duration // of 1 MiB
}

// look returns the suspect with what about n octets cost this time, or did before if that
// was less.
func (s suspect) look(t *testing.T, n int) suspect {
	octets, size := s.r.input(s.s, min(n, s.r.most*15/16))
	now := figure{octets: size, cost: cpu.Thread(t, func() { s.r.read(octets) })}.perMiB()
	if s.cost == 0 || now < s.cost {
		s.cost = now
	}
	return s
}

func dearest(a, b suspect) int { return cmp.Compare(b.cost, a.cost) }

// costliest returns the costliest shapes, of one reader one, and the pair that started
// this: words beyond ASCII in Authentication-Results. What seems dear is looked at again,
// and of that again what is dear with all octets that a reader takes: some bounds are
// reached with few.
func costliest(t *testing.T, all []reader) []suspect {
	var few []suspect
	for _, r := range all {
		var of []suspect
		for _, s := range shapes() {
			of = append(of, suspect{r: r, s: s}.look(t, screened))
		}
		slices.SortFunc(of, dearest)
		for i := range of[:4] {
			of[i] = of[i].look(t, screened).look(t, screened)
		}
		few = append(few, slices.MinFunc(of[:4], dearest))
	}
	slices.SortFunc(few, dearest)
	var out []suspect
	for _, s := range few[:3*suspects] {
		s.cost = 0
		out = append(out, s.look(t, mebi))
	}
	slices.SortFunc(out, dearest)
	out = out[:suspects]
	for _, r := range all {
		for _, s := range shapes() {
			if r.name == "a stranger's Authentication-Results" && s.name == "long non-ASCII words" {
				out = append(out, suspect{r: r, s: s})
			}
		}
	}
	return out
}

// measured returns how much more a hundred times the octets cost, and what 1 MiB costs
// as on a machine that is not busy with anything else.
func measured(t *testing.T, s suspect) (growth float64, rate time.Duration) {
	most := s.r.most * 15 / 16
	few, _ := s.r.input(s.s, most/100)
	many, size := s.r.input(s.s, most)
	small := cpu.Work(t, least, func() { s.r.read(few) })
	large := cpu.Work(t, least, func() { s.r.read(many) })
	rate = figure{octets: size, cost: large}.perMiB()
	return float64(large) / float64(small), time.Duration(float64(rate) / slowness(t))
}

// slowness is how much slower the machine is now than one that does nothing else.
func slowness(t *testing.T) float64 {
	return max(1, float64(cpu.Work(t, least/5, hashed))/float64(yardstick))
}

// hashed is work that costs the same everywhere but for how fast the machine is now.
func hashed() {
	h := fnv.New64a()
	var chunk [4096]byte
	for range mebi / len(chunk) {
		_, _ = h.Write(chunk[:]) // a hash takes everything
	}
}
