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

// A round in which the machine was slow for all servers changes no ratio.
func TestRatiosAreThoseOfARound(t *testing.T) {
	var samples []sample
	for round, slow := range []float64{1, 10, 2} {
		for _, s := range scenarios() {
			for _, name := range s.servers {
				m := sample{Round: round + 1, Scenario: s.name, Server: name, Messages: 1000, Seconds: 2 * slow, CPU: 4 * slow}
				if name == ours {
					m.Seconds, m.CPU = slow, slow
				}
				samples = append(samples, m)
			}
		}
	}
	slices.Reverse(samples)
	rows, want := compare(samples), 0
	for _, s := range scenarios() {
		want += len(s.servers)
	}
	if len(rows) != want {
		t.Fatalf("%d rows, want %d", len(rows), want)
	}
	for _, c := range rows {
		rate, cost, ratio, cheaper := spread{250, 50, 500}, spread{8, 4, 40}, spread{2, 2, 2}, spread{0.25, 0.25, 0.25}
		if c.server == ours {
			rate, cost, ratio, cheaper = spread{500, 100, 1000}, spread{2, 1, 10}, spread{}, spread{}
		}
		if c.rate != rate || c.cost != cost || c.rateRatio != ratio || c.costRatio != cheaper {
			t.Errorf("%+v", c)
		}
	}
}

// Whoever else is faster or cheaper is named, and the floor, which is no server, never.
func TestWhoIsBetterIsNamed(t *testing.T) {
	m := func(server string, seconds, cpu float64) sample {
		return sample{Round: 1, Scenario: acceptedKept, Server: server, Messages: 1000, Seconds: seconds, CPU: cpu}
	}
	samples := []sample{m(ours, 2, 2), m(floor, 1, 1), m(theirs, 3, 3), m(exim, 3, 1), m(haraka, 1, 3), m(opensmtpd, 2, 2)}
	want := []string{`Exim takes less processor time at "accepted, kept connections" (2.00)`, `Haraka is faster at "accepted, kept connections" (0.50)`}
	if got := better(compare(samples)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	text := result{Samples: samples}.markdown()
	if line := "\nWhere another server is better: " + strings.Join(want, "; ") + ".\n"; !strings.Contains(text, line) {
		t.Errorf("no line %q in\n%s", line, text)
	}
	if text := (result{Samples: samples[:3]}).markdown(); !strings.Contains(text, "\nNo other server was faster") {
		t.Errorf("nobody is better, and it is not said:\n%s", text)
	}
	idle := func(server string, octets int64) idleSample {
		return idleSample{Kind: "idle", Server: server, Connections: 1, After: octets}
	}
	want = []string{"Haraka takes less memory for a connection that is idle (2.00)"}
	if got := smaller([]idleSample{idle(ours, 20), idle(haraka, 10), idle(floor, 5), idle(theirs, 40)}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMarkdownHasARowForEverything(t *testing.T) {
	r := result{Versions: []string{"Postfix 9", "Haraka 8"}, Options: reportedOpts{Messages: 1000, Rounds: 1, Clients: 20, Size: 10240}}
	for _, s := range scenarios() {
		for _, name := range s.servers {
			m := sample{Round: 1, Scenario: s.name, Server: name, Clients: 20, Messages: 1000, Seconds: 1, CPU: 0.5}
			if name == opensmtpd {
				m.Clients = 5
			}
			r.Samples = append(r.Samples, m)
		}
	}
	for _, name := range []string{ours, theirs} {
		r.Idle = append(r.Idle, idleSample{Kind: "idle", Server: name, Connections: 10, Before: 1 << 20, After: 1<<20 + 10<<20/10})
	}
	r.Syncs = []syncSample{
		{Server: ours, Clients: 1, Messages: 10, Covered: 10, Files: 10}, {Server: ours, Clients: 20, Messages: 100, Covered: 90, Files: 15, Folders: 5},
		{Server: haraka, Clients: 1, Messages: 10, Covered: 0}, {Server: haraka, Clients: 20, Messages: 100},
		{Server: exim, Clients: 1, Messages: 10, Covered: 9, Files: 20, Folders: 10}, {Server: exim, Clients: 20, Messages: 100, Files: 300},
	}
	r.Countings = []waysOfCounting{{0.1, 0.2, 0.3}, {0.3, 0.4, 0.5}, {0.2, 0.3, 0.4}}
	text := r.markdown()
	for _, s := range scenarios() {
		for i, name := range s.servers {
			ratio := "**1.00** (1.00 to 1.00)"
			if name == ours {
				ratio = ""
			}
			if name == haraka {
				name += " †"
			}
			if name == opensmtpd {
				name += ", 5 clients"
			}
			want := " | " + name + " | 1000 (1000 to 1000) | " + ratio + " | 0.500 (0.500 to 0.500) | " + ratio + " |\n"
			if i == 0 {
				want = "| " + s.name + want
			}
			if !strings.Contains(text, want) {
				t.Errorf("no row %q in\n%s", want, text)
			}
		}
	}
	for _, want := range []string{
		"\n† answers 250 without a sync", ", Postfix 9, Haraka 8. 1000 messages of 10240 octets, 20 clients",
		"| idle | 10 | sallyport | 102.4 |  | 1 to 2 |\n", "| idle | 10 | Postfix | 102.4 | **1.000** | 1 to 2 |\n",
		"| sallyport | yes | 1.00, 0.00 | 0.20, 20 |\n", "| Haraka | **no** | 0.00, 0.00 | 0.00, 20 |\n", "| Exim | **9 of 10** | 2.00, 1.00 | 3.00, 20 |\n",
		"| the process, to the last 250 | 0.200 (0.100 to 0.300) |\n",
		"with its end, which it is told at once | 0.300 (0.200 to 0.400) |\n",
		"what all tables say | 0.400 (0.300 to 0.500) |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestTheOrderOfTheServersAlternates(t *testing.T) {
	b := bench{contenders: contenders()}
	one, two := b.order(1), b.order(2)
	if n := len(one); n != len(contenders()) || one[0].name != floor || two[n-1].name != floor || one[n-1].name != two[0].name {
		t.Errorf("%v, then %v", one, two)
	}
}

func TestSampleUnits(t *testing.T) {
	s := sample{Messages: 2000, Seconds: 4, CPU: (500 * time.Millisecond).Seconds()}
	if s.rate() != 500 || s.cost() != 0.25 {
		t.Errorf("%v messages/s, %v s per 1000", s.rate(), s.cost())
	}
}
