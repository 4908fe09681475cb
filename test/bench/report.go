package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// result is everything that a run found out.
type result struct {
	Machine machine      `json:"machine"`
	Options reportedOpts `json:"options"`
	Samples []sample     `json:"samples"`
	Idle    []idleSample `json:"idle"`
}

// reportedOpts are the flags that the figures depend on.
type reportedOpts struct {
	Messages int `json:"messages"`
	Rounds   int `json:"rounds"`
	Clients  int `json:"clients"`
	Size     int `json:"size"`
}

func reported(o options) reportedOpts {
	return reportedOpts{Messages: o.messages, Rounds: o.rounds, Clients: o.clients, Size: o.size}
}

// The names of the two servers in the samples.
const (
	ours   = "sallyport"
	theirs = "Postfix"
)

// comparison is one row of the table: medians over the rounds, and the median of the
// rounds' own ratios with their span, because two servers measured one after the
// other share what the machine was doing then.
type comparison struct {
	scenario               string
	ourRate, theirRate     float64
	rateRatio, low, high   float64
	ourCost, theirCost     float64
	costRatio, cLow, cHigh float64
}

// compare makes the rows from samples of every scenario by both servers in every
// round.
func compare(samples []sample) []comparison {
	var rows []comparison
	for _, s := range scenarios() {
		our, their := pick(samples, s.name, ours), pick(samples, s.name, theirs)
		if len(our) == 0 || len(our) != len(their) {
			continue
		}
		c := comparison{scenario: s.name}
		c.ourRate, c.theirRate = median(each(our, sample.rate)), median(each(their, sample.rate))
		c.ourCost, c.theirCost = median(each(our, sample.cost)), median(each(their, sample.cost))
		c.rateRatio, c.low, c.high = span(ratios(our, their, sample.rate))
		c.costRatio, c.cLow, c.cHigh = span(ratios(our, their, sample.cost))
		rows = append(rows, c)
	}
	return rows
}

// pick returns the samples of one scenario and server in the order of the rounds.
func pick(samples []sample, scenario, server string) []sample {
	var some []sample
	for _, s := range samples {
		if s.Scenario == scenario && s.Server == server {
			some = append(some, s)
		}
	}
	slices.SortFunc(some, func(a, b sample) int { return a.Round - b.Round })
	return some
}

func each(samples []sample, f func(sample) float64) []float64 {
	var all []float64
	for _, s := range samples {
		all = append(all, f(s))
	}
	return all
}

// ratios divides our figure of each round by theirs of the same round.
func ratios(our, their []sample, f func(sample) float64) []float64 {
	var all []float64
	for i := range our {
		all = append(all, f(our[i])/f(their[i]))
	}
	return all
}

// median returns the middle, or the mean of the two in the middle; NaN of nothing.
func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// span returns the median, the least and the greatest.
func span(v []float64) (mid, low, high float64) {
	return median(v), slices.Min(v), slices.Max(v)
}

func mib(octets int64) float64 { return float64(octets) / (1 << 20) }

// markdown returns the tables with the line that says what they were measured on.
func (r result) markdown() string {
	var b strings.Builder
	m := r.Machine
	mid, _, worst := span(each(r.Samples, func(s sample) float64 { return s.Others }))
	fmt.Fprintf(&b, "%d cores (%s), %.0f GiB of memory, Linux %s, %s, %s; a sync of 10 KiB takes %.2f ms. sallyport built with %s, Postfix %s. "+
		"%d messages of %d octets, %d clients, medians of %d rounds. Other work took %.0f %% of the processors in the median measurement, %.0f %% in the worst.\n\n",
		m.Cores, m.Processor, float64(m.Memory)/(1<<30), m.Kernel, m.System, m.Disk, m.Sync*1000, m.Go, m.Postfix,
		r.Options.Messages, r.Options.Size, r.Options.Clients, r.Options.Rounds, mid*100, worst*100)
	b.WriteString("| | sallyport, messages/s | Postfix, messages/s | ratio (least to greatest) | sallyport, CPU s per 1000 | Postfix, CPU s per 1000 | ratio (least to greatest) |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|\n")
	for _, c := range compare(r.Samples) {
		fmt.Fprintf(&b, "| %s | %.0f | %.0f | **%.2f** (%.2f to %.2f) | %.3f | %.3f | **%.2f** (%.2f to %.2f) |\n",
			c.scenario, c.ourRate, c.theirRate, c.rateRatio, c.low, c.high, c.ourCost, c.theirCost, c.costRatio, c.cLow, c.cHigh)
	}
	b.WriteString("\n| | connections | sallyport, KiB each | Postfix, KiB each | ratio | sallyport in all, none to all, MiB | Postfix in all, none to all, MiB |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|\n")
	for _, our := range r.Idle {
		for _, their := range r.Idle {
			if our.Server != ours || their.Server != theirs || our.Kind != their.Kind {
				continue
			}
			fmt.Fprintf(&b, "| %s | %d | %.1f | %.1f | **%.3f** | %.0f to %.0f | %.0f to %.0f |\n", our.Kind, our.Connections,
				our.each()/1024, their.each()/1024, our.each()/their.each(), mib(our.Before), mib(our.After), mib(their.Before), mib(their.After))
		}
	}
	return b.String()
}
