package replay

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Shape is what a log looks like, to be held against what is known of others.
type Shape struct {
	PerMessage [4]int     // recipients: half of the messages have no more, 9 of 10, 99 of 100, all
	BusyHour   [3]int     // most recipients of one sender within an hour: half of the senders, 9 of 10, 99 of 100
	Novelty    [3]float64 // share of deliveries to somebody new to the account: 1 of 10 accounts has no more, half, 9 of 10
}

// shape looks at a log; novelty are the shares of the accounts.
func shape(log []Message, novelty []float64) (s Shape) {
	var sizes []int
	busiest := map[string]int{}
	hours := map[string]*window{}
	for _, m := range log {
		if m.In || m.Event != nil {
			continue
		}
		sizes = append(sizes, len(m.To))
		w := hours[m.From]
		if w == nil {
			w = &window{span: time.Hour}
			hours[m.From] = w
		}
		w.add(m.At.Sub(epoch(0)), len(m.To))
		busiest[m.From] = max(busiest[m.From], w.sum)
	}
	var busy []int
	for _, n := range busiest {
		busy = append(busy, n)
	}
	if len(sizes) == 0 || len(novelty) == 0 {
		return s
	}
	slices.Sort(sizes)
	slices.Sort(busy)
	slices.Sort(novelty)
	for i, of := range []int{50, 90, 99, 100} {
		s.PerMessage[i] = sizes[min(len(sizes)-1, len(sizes)*of/100)]
	}
	for i, of := range []int{50, 90, 99} {
		s.BusyHour[i] = busy[len(busy)*of/100]
	}
	for i, of := range []int{10, 50, 90} {
		s.Novelty[i] = novelty[len(novelty)*of/100]
	}
	return s
}

// words say it in a line.
func (s Shape) words() string {
	var b strings.Builder
	fmt.Fprintf(&b, "recipients a message p50/p90/p99/max %d/%d/%d/%d; a sender's busiest hour p50/p90/p99 %d/%d/%d; ",
		s.PerMessage[0], s.PerMessage[1], s.PerMessage[2], s.PerMessage[3], s.BusyHour[0], s.BusyHour[1], s.BusyHour[2])
	fmt.Fprintf(&b, "new to the account, by account p10/p50/p90 %.0f/%.0f/%.0f %%", 100*s.Novelty[0], 100*s.Novelty[1], 100*s.Novelty[2])
	return b.String()
}
