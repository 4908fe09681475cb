package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func at(value int, units, seconds float64, processor time.Duration) sample {
	return sample{value: value, units: units, seconds: seconds, p99: 2 * time.Millisecond, processor: processor}
}

// The cost of a unit is told at both ends, and what grows faster than what there is stands out.
func TestGrowth(t *testing.T) {
	first := at(1, 1000, 1, time.Second)
	for last, want := range map[time.Duration]string{
		1000 * time.Second: "1.00 times, so that all of it grows linearly",
		1240 * time.Second: "1.24 times, so that all of it grows linearly",
		1300 * time.Second: "1.30 times, so that all of it GROWS FASTER than linearly",
		500 * time.Second:  "0.50 times, so that all of it grows slower than linearly",
	} {
		got := growth([]sample{first, at(500, 5, 1, time.Hour), at(1000, 1e6, 1, last)})
		if !strings.HasSuffix(got, ": "+want) || !strings.HasPrefix(got, "1 ms at 1, ") {
			t.Errorf("%v: %q, want %q", last, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	s := sweep{name: "clients", title: "More clients", axis: "clients", unit: "message"}
	all := []sample{at(1, 1000, 2, 250*time.Millisecond), at(1000, 5000, 1, 1250*time.Millisecond)}
	got := table(s, all)
	for _, want := range []string{
		"![More clients](charts/clients.svg)", "| clients | messages/s | p99, ms | processor for one message |",
		"| 1 | 500 | 2 | 250 µs |", "| 1k | 5k | 2 | 250 µs |", "One message costs 250 µs at 1, 250 µs at 1k: 1.00 times",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	c := drawing(s, all)
	if len(c.Panels) != 2 || c.Panels[0].Points[1].Y != 5000 || c.Panels[1].Points[1].Y != 2 || c.X != "clients" {
		t.Errorf("drawn %+v", c)
	}
	if svg, err := c.SVG(); err != nil || !strings.Contains(string(svg), "messages/s") {
		t.Errorf("%s, %v", svg, err)
	}
}

func TestValues(t *testing.T) {
	for _, s := range sweeps() {
		if !slices.IsSorted(s.values) || s.at == nil || s.unit == "" {
			t.Errorf("%s is not a sweep", s.name)
		}
	}
	if got := upTo([]int{1, 10, 100}, 10); !slices.Equal(got, []int{1, 10}) {
		t.Errorf("%v", got)
	}
	for _, n := range []int{1_000, 25_000_000} {
		if m := message(n); len(m) > n || len(m) < n-100 || !strings.HasSuffix(m, "\r\n") || strings.Contains(m, "\r\n.") {
			t.Errorf("a message of %d octets has %d", n, len(m))
		}
	}
	w := world{boxes: 1000}
	if to := w.spread(10); len(to) != 10 || to[0] != "u0@local.test" || to[9] != "u900@local.test" {
		t.Errorf("%v", to)
	}
	if to := (&world{boxes: 3}).spread(10); len(to) != 3 {
		t.Errorf("%v", to)
	}
}

func TestProcessorTime(t *testing.T) {
	stat := "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 100 0 0"
	if got, err := parseProcessor(stat); err != nil || got != 3*time.Second {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "12 (x) S 1", strings.Replace(stat, "250", "x", 1), strings.Replace(stat, " 50 ", " y ", 1)} {
		if got, err := parseProcessor(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
