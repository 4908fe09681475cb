package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// percentiles returns the median, the 99th percentile and the longest.
func percentiles(took []time.Duration) (mid, most, worst time.Duration) {
	slices.Sort(took)
	n := len(took)
	return took[n/2], took[min(n-1, n*99/100)], took[n-1]
}

// markdown writes the tables of docs/benchmarks.md.
func (s *readings) markdown(w waited) string {
	var b strings.Builder
	version, _ := exec.Command(dovecotCommand, "--version").Output() // it runs: where that fails, the row is empty
	fmt.Fprintf(&b, "Dovecot %s, %d rounds.\n\n", strings.TrimSpace(string(version)), s.o.rounds)
	b.WriteString("| | sallyport, ms | Dovecot, ms | ratio | sallyport, CPU ms | Dovecot, CPU ms | ratio (least to greatest) |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, t := range tasks(s.o) {
		our, their := s.pick(t.name, ours), s.pick(t.name, dovecotName)
		if len(our) == 0 || len(our) != len(their) {
			continue
		}
		wall, cost := median(readRatios(our, their, readSample.wall)), span(readRatios(our, their, readSample.cost))
		fmt.Fprintf(&b, "| %s | %.2f | %.2f | %.2f | %.2f | %.2f | **%.2f** (%.2f to %.2f) |\n", t.name,
			median(readEach(our, readSample.wall)), median(readEach(their, readSample.wall)), wall,
			median(readEach(our, readSample.cost)), median(readEach(their, readSample.cost)), cost.mid, cost.low, cost.high)
	}
	if len(w.idle) > 0 {
		b.WriteString("\n| | connections | server | KiB each | in all, none to all, MiB |\n|---|---:|---|---:|---:|\n")
		for _, i := range w.idle {
			fmt.Fprintf(&b, "| %s | %d | %s | %.1f | %.0f to %.0f |\n", i.Kind, i.Connections, i.Server,
				i.each()/1024, mib(i.Before), mib(i.After))
		}
	}
	if len(w.notice) > 0 {
		b.WriteString("\n| new mail told to an idler, after the 250 | messages | median | 99th percentile | longest |\n|---|---:|---:|---:|---:|\n")
		for _, n := range w.notice {
			fmt.Fprintf(&b, "| %s | %d | %v | %v | %v |\n", n.server, n.messages,
				n.median.Round(10*time.Microsecond), n.most.Round(10*time.Microsecond),
				n.worst.Round(10*time.Microsecond))
		}
	}
	return b.String()
}

func (s *readings) pick(task, server string) (out []readSample) {
	for _, f := range s.found {
		if f.Task == task && f.Server == server {
			out = append(out, f)
		}
	}
	return out
}

func readEach(samples []readSample, f func(readSample) float64) (out []float64) {
	for _, s := range samples {
		out = append(out, f(s))
	}
	return out
}

func readRatios(our, their []readSample, f func(readSample) float64) (out []float64) {
	for i := range our {
		out = append(out, f(our[i])/f(their[i]))
	}
	return out
}
