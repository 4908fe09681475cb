package parsers

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
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
			octets := r.wrap(s.text(min(r.most-r.most/16, size)))
			of = append(of, figure{r.name, s.name, len(octets), time.Duration(float64(cost(t, 0, func() { r.read(octets) })) / slow)})
		}
		slices.SortFunc(of, func(a, b figure) int { return cmp.Compare(b.perMiB(), a.perMiB()) })
		for _, f := range of[:1] {
			fmt.Printf("| %s | %s | %d | %.1f |\n", f.reader, f.shape, f.octets, float64(f.perMiB().Microseconds())/1000)
		}
		all = append(all, of...)
	}
	slices.SortFunc(all, func(a, b figure) int { return cmp.Compare(b.perMiB(), a.perMiB()) })
	fmt.Printf("\n%d readers, %d shapes. The worst:\n", len(readers(t)), len(shapes()))
	for _, f := range all[:min(12, len(all))] {
		fmt.Printf("| %s | %s | %d | %.1f |\n", f.reader, f.shape, f.octets, float64(f.perMiB().Microseconds())/1000)
	}
}
