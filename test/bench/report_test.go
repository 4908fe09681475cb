package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{
		{[]float64{3}, 3}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}, {[]float64{1, 1, 100}, 1},
	} {
		if got := median(c.of); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.of, got, c.want)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("nothing has a median")
	}
}

// A round in which the machine was slow for both servers changes no ratio.
func TestRatiosAreThoseOfARound(t *testing.T) {
	var samples []sample
	for round, slow := range []float64{1, 10, 2} {
		for _, s := range scenarios() {
			samples = append(samples,
				sample{Round: round + 1, Scenario: s.name, Server: theirs, Messages: 1000, Seconds: 2 * slow, CPU: 4 * slow},
				sample{Round: round + 1, Scenario: s.name, Server: ours, Messages: 1000, Seconds: slow, CPU: slow})
		}
	}
	slices.Reverse(samples)
	rows := compare(samples)
	if len(rows) != len(scenarios()) {
		t.Fatalf("%d rows for %d scenarios", len(rows), len(scenarios()))
	}
	for _, c := range rows {
		if c.rateRatio != 2 || c.low != 2 || c.high != 2 || c.costRatio != 0.25 {
			t.Errorf("%+v", c)
		}
		if c.ourRate != 500 || c.theirRate != 250 || c.ourCost != 2 || c.theirCost != 8 {
			t.Errorf("not the medians: %+v", c)
		}
	}
}

func TestMarkdownHasARowForEverything(t *testing.T) {
	r := result{Options: reportedOpts{Messages: 1000, Rounds: 1, Clients: 20, Size: 10240}}
	for _, s := range scenarios() {
		for _, name := range []string{ours, theirs} {
			r.Samples = append(r.Samples, sample{Round: 1, Scenario: s.name, Server: name, Messages: 1000, Seconds: 1, CPU: 0.5})
		}
	}
	for _, name := range []string{ours, theirs} {
		r.Idle = append(r.Idle, idleSample{Kind: "idle", Server: name, Connections: 10, Before: 1 << 20, After: 1<<20 + 10<<20/10})
	}
	text := r.markdown()
	for _, s := range scenarios() {
		if want := "| " + s.name + " | 1000 | 1000 | **1.00** (1.00 to 1.00) | 0.500 | 0.500 | **1.00** (1.00 to 1.00) |\n"; !strings.Contains(text, want) {
			t.Errorf("no row %q in\n%s", want, text)
		}
	}
	if want := "| idle | 10 | 102.4 | 102.4 | **1.000** | 1 to 2 | 1 to 2 |\n"; !strings.Contains(text, want) {
		t.Errorf("no row %q in\n%s", want, text)
	}
}

func TestTheOrderOfTheServersAlternates(t *testing.T) {
	var b bench
	if one, two := b.servers(1), b.servers(2); one[0] != two[1] || one[1] != two[0] || one[0] == one[1] {
		t.Errorf("%v, then %v", one, two)
	}
}

func TestSampleUnits(t *testing.T) {
	s := sample{Messages: 2000, Seconds: 4, CPU: (500 * time.Millisecond).Seconds()}
	if s.rate() != 500 || s.cost() != 0.25 {
		t.Errorf("%v messages/s, %v s per 1000", s.rate(), s.cost())
	}
}
