package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// result is everything that a run found out.
type result struct {
	Machine   machine          `json:"machine"`
	Versions  []string         `json:"versions"` // of the servers that are not built here
	Options   reportedOpts     `json:"options"`
	Samples   []sample         `json:"samples"`
	Syncs     []syncSample     `json:"syncs"`
	Countings []waysOfCounting `json:"countings"`
	Idle      []idleSample     `json:"idle"`
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

// comparison is one row of the table: medians over the rounds with their span, and the median
// of the rounds' own ratios with its span, because two servers measured one after the other
// share what the machine was doing then.
type comparison struct {
	scenario, server string
	rate, cost       spread
	rateRatio        spread // ours to this server's: above 1, we are faster
	costRatio        spread // below 1, we are cheaper
}

// spread is a median, the least and the greatest.
type spread struct{ mid, low, high float64 }

// compare makes the rows, in the order of the scenarios, from samples of every round.
func compare(samples []sample) []comparison {
	var rows []comparison
	for _, s := range scenarios() {
		our := pick(samples, s.name, ours)
		for _, c := range contenders() {
			their := pick(samples, s.name, c.name)
			if len(their) == 0 {
				continue
			}
			row := comparison{scenario: s.name, server: c.name, rate: span(each(their, sample.rate)), cost: span(each(their, sample.cost))}
			if c.name != ours && len(our) == len(their) {
				row.rateRatio, row.costRatio = span(ratios(our, their, sample.rate)), span(ratios(our, their, sample.cost))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// better says where another server is: the floor is none.
func better(rows []comparison) (all []string) {
	for _, c := range rows {
		if c.server == floor || strings.HasPrefix(c.server, ours) || c.rateRatio == (spread{}) {
			continue
		}
		if c.rateRatio.mid < 1 {
			all = append(all, fmt.Sprintf("%s is faster at \"%s\" (%.2f)", c.server, c.scenario, c.rateRatio.mid))
		}
		if c.costRatio.mid > 1 {
			all = append(all, fmt.Sprintf("%s takes less processor time at \"%s\" (%.2f)", c.server, c.scenario, c.costRatio.mid))
		}
	}
	return all
}

// smaller says whose idle connections take less memory than ours.
func smaller(samples []idleSample) (all []string) {
	for _, our := range samples {
		for _, s := range samples {
			if our.Server == ours && s.Server != floor && s.Kind == our.Kind && s.each() < our.each() {
				all = append(all,
					fmt.Sprintf("%s takes less memory for a connection that is %s (%.2f)", s.Server, s.Kind, our.each()/s.each()))
			}
		}
	}
	return all
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
func span(v []float64) spread { return spread{median(v), slices.Min(v), slices.Max(v)} }

func mib(octets int64) float64 { return float64(octets) / (1 << 20) }

// markdown returns the tables with the line that says what they were measured on.
func (r result) markdown() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "%d cores (%s), %.0f GiB of memory, Linux %s, %s, %s; a sync of 10 KiB takes %.2f ms. sallyport built with %s",
		m.Cores, m.Processor, float64(m.Memory)/(1<<30), m.Kernel, m.System, m.Disk, m.Sync*1000, m.Go)
	for _, v := range r.Versions {
		b.WriteString(", " + v)
	}
	b.WriteString(".")
	if len(r.Samples) > 0 {
		noise := span(each(r.Samples, func(s sample) float64 { return s.Others }))
		fmt.Fprintf(&b, " %d messages of %d octets, %d clients, medians of %d rounds. Other work took %.0f %% of the processors in the median measurement, %.0f %% in the worst.",
			r.Options.Messages, r.Options.Size, r.Options.Clients, r.Options.Rounds, noise.mid*100, noise.high*100)
	}
	b.WriteString("\n")
	r.figures(&b)
	r.synced(&b)
	r.counted(&b)
	r.idle(&b)
	return b.String()
}

// figures writes the table of rates and costs, and where another server is better.
func (r result) figures(b *strings.Builder) {
	rows := compare(r.Samples)
	if len(rows) == 0 {
		return
	}
	b.WriteString("\n| | | messages/s (least to greatest) | sallyport to it | CPU s per 1000 (least to greatest) | sallyport to it |\n|---|---|---:|---:|---:|---:|\n")
	last := ""
	for _, c := range rows {
		what := c.scenario
		if what == last {
			what = ""
		}
		last = c.scenario
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", what, r.marked(c.server), c.rate.of("%.0f"),
			c.rateRatio.ratio(), c.cost.of("%.3f"), c.costRatio.ratio())
	}
	if slices.ContainsFunc(r.Syncs, syncSample.bare) {
		b.WriteString("\n† answers 250 without a sync: after a loss of power its mail may be gone.\n")
	}
	if all := append(better(rows), smaller(r.Idle)...); len(all) > 0 {
		b.WriteString("\nWhere another server is better: " + strings.Join(all, "; ") + ".\n")
		return
	}
	b.WriteString("\nNo other server was faster, took less processor time, or less memory for an idle connection.\n")
}

// marked is the name of a server, with how many clients it had if not as many as the others,
// and with a mark if it promises what it does not keep.
func (r result) marked(server string) string {
	if i := slices.IndexFunc(r.Samples, func(s sample) bool { return s.Server == server && s.Clients != r.Options.Clients }); i >= 0 {
		return fmt.Sprintf("%s, %d clients", r.promising(server), r.Samples[i].Clients)
	}
	return r.promising(server)
}

func (r result) promising(server string) string {
	if slices.ContainsFunc(r.Syncs, func(s syncSample) bool { return s.bare() && s.Server == server }) {
		return server + " †"
	}
	return server
}

// of writes the median with its span, each by one verb.
func (s spread) of(verb string) string {
	return fmt.Sprintf(verb+" ("+verb+" to "+verb+")", s.mid, s.low, s.high)
}

// ratio writes a ratio with its span; sallyport has none to itself.
func (s spread) ratio() string {
	if s == (spread{}) {
		return ""
	}
	return fmt.Sprintf("**%.2f** (%.2f to %.2f)", s.mid, s.low, s.high)
}

// synced writes who syncs before the 250.
func (r result) synced(b *strings.Builder) {
	if len(r.Syncs) == 0 {
		return
	}
	b.WriteString("\n| " + acceptedKept + " | syncs before each 250 | files, folders per message, one client | syncs per message, clients |\n|---|---|---:|---:|\n")
	for _, alone := range r.Syncs {
		for _, many := range r.Syncs {
			if alone.Server != many.Server || alone.Clients != 1 || many.Clients == 1 {
				continue
			}
			fmt.Fprintf(b, "| %s | %s | %.2f, %.2f | %.2f, %d |\n", alone.Server, alone.verdict(),
				float64(alone.Files)/float64(alone.Messages), float64(alone.Folders)/float64(alone.Messages), many.per(), many.Clients)
		}
	}
}

// bare reports whether a server synced before none of its answers.
func (s syncSample) bare() bool { return s.Clients == 1 && s.Covered == 0 }

// verdict says whether a server syncs before it answers; only the trace of one client shows it.
func (s syncSample) verdict() string {
	switch s.Covered {
	case s.Messages:
		return "yes"
	case 0:
		return "**no**"
	}
	return fmt.Sprintf("**%d of %d**", s.Covered, s.Messages)
}

// counted writes the three ways of counting processor time.
func (r result) counted(b *strings.Builder) {
	if len(r.Countings) == 0 {
		return
	}
	b.WriteString("\n| " + acceptedKept + ", sallyport, counted | CPU s per 1000 (least to greatest) |\n|---|---:|\n")
	for _, way := range []struct {
		name string
		of   func(waysOfCounting) float64
	}{
		{"the process, to the last 250", func(w waysOfCounting) float64 { return w.Alone }},
		{"the process, with its end, which it is told at once", func(w waysOfCounting) float64 { return w.Ended }},
		{"everything, with compaction, until the server rests: what all tables say", func(w waysOfCounting) float64 { return w.Rested }},
	} {
		var all []float64
		for _, w := range r.Countings {
			all = append(all, way.of(w))
		}
		fmt.Fprintf(b, "| %s | %s |\n", way.name, span(all).of("%.3f"))
	}
}

// idle writes the memory of idle connections.
func (r result) idle(b *strings.Builder) {
	if len(r.Idle) == 0 {
		return
	}
	b.WriteString("\n| | connections | | KiB each | sallyport to it | in all, none to all, MiB |\n|---|---:|---|---:|---:|---:|\n")
	for _, s := range r.Idle {
		ratio := ""
		for _, our := range r.Idle {
			if our.Server == ours && s.Server != ours && our.Kind == s.Kind {
				ratio = fmt.Sprintf("**%.3f**", our.each()/s.each())
			}
		}
		fmt.Fprintf(b, "| %s | %d | %s | %.1f | %s | %.0f to %.0f |\n", s.Kind, s.Connections, s.Server,
			s.each()/1024, ratio, mib(s.Before), mib(s.After))
	}
}
