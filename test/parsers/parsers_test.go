package parsers

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"sallyport/test/cpu"
)

// figure is what one reader and shape cost.
type figure struct {
	reader, shape string
	octets        int
	cost          time.Duration
}

// perMiB is the cost of 1 MiB at this rate. What every call costs by itself does not
// count as the rate of a few octets.
func (f figure) perMiB() time.Duration {
	return time.Duration(float64(f.cost) * mebi / float64(max(f.octets, 32<<10)))
}

func dearer(a, b figure) int { return cmp.Compare(b.perMiB(), a.perMiB()) }

// The table of docs/benchmarks.md: what the worst shapes cost each reader.
func TestTable(t *testing.T) {
	if os.Getenv("SALLYPORT_BENCH") == "" {
		t.Skip("make bench-parsers runs it")
	}
	size, err := strconv.Atoi(cmp.Or(os.Getenv("OCTETS"), "1000000"))
	if err != nil {
		t.Fatal(err)
	}
	var all []figure
	for _, r := range readers(t) {
		if only := os.Getenv("READER"); only != "" && only != r.name {
			continue
		}
		var of []figure
		slow := slowness(t)
		for _, s := range shapes() {
			octets, size := r.input(s, min(r.most-r.most/16, size))
			of = append(of, figure{r.name, s.name, size, time.Duration(float64(cpu.Work(t, 0, func() { r.read(octets) })) / slow)})
		}
		slices.SortFunc(of, dearer)
		// What seems dear is measured again: other work may have been in it.
		for i, f := range of[:5] {
			for _, s := range shapes() {
				if octets, _ := r.input(s, min(r.most-r.most/16, size)); s.name == f.shape {
					again := cpu.Work(t, least/5, func() { r.read(octets) })
					of[i].cost = min(f.cost, time.Duration(float64(again)/slowness(t)))
				}
			}
		}
		slices.SortFunc(of, dearer)
		fmt.Printf("| %s | %s | %d | %.1f |\n", of[0].reader, of[0].shape, of[0].octets, float64(of[0].perMiB().Microseconds())/1000)
		all = append(all, of[:5]...)
	}
	slices.SortFunc(all, dearer)
	fmt.Printf("\n%d readers, %d shapes. The worst:\n", len(readers(t)), len(shapes()))
	for _, f := range all[:min(12, len(all))] {
		fmt.Printf("| %s | %s | %d | %.1f |\n", f.reader, f.shape, f.octets, float64(f.perMiB().Microseconds())/1000)
	}
}
