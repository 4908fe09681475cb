package main

import (
	"fmt"
	"strings"
	"time"

	"sallyport/test/charts/plot"
)

// sample is what was measured at one value of a sweep.
type sample struct {
	value     int
	units     float64       // messages, octets or recipients that were acknowledged
	seconds   float64       // that took
	p99       time.Duration // of the answers
	processor time.Duration // of the server, until it has come to rest
}

func (s sample) rate() float64 { return s.units / s.seconds }

// cost is the processor time of one unit.
func (s sample) cost() time.Duration { return time.Duration(float64(s.processor) / s.units) }

func upTo(values []int, most float64) []int {
	for i, v := range values {
		if float64(v) > most {
			return values[:i]
		}
	}
	return values
}

func drawing(s sweep, all []sample) plot.Chart {
	rate, p99 := plot.Panel{Y: s.unit + "s/s"}, plot.Panel{Y: "p99 of the answer, ms"}
	for _, m := range all {
		rate.Points = append(rate.Points, plot.Point{X: float64(m.value), Y: m.rate()})
		p99.Points = append(p99.Points, plot.Point{X: float64(m.value), Y: max(m.p99.Seconds()*1000, 0.01)})
	}
	return plot.Chart{Title: s.title, X: s.axis, Panels: []plot.Panel{rate, p99}}
}

// steep is how much more one unit may cost at the end of a sweep before that is told: what runs
// differ by.
const steep = 1.25

// growth says what became of the cost of a unit.
func growth(all []sample) string {
	first, last := all[0], all[len(all)-1]
	ratio := float64(last.cost()) / float64(first.cost())
	word := "grows linearly"
	switch {
	case ratio > steep:
		word = "GROWS FASTER than linearly"
	case ratio < 1/steep:
		word = "grows slower than linearly"
	}
	return fmt.Sprintf("%v at %s, %v at %s: %.2f times, so that all of it %s", short(first.cost()),
		plot.Short(float64(first.value)), short(last.cost()), plot.Short(float64(last.value)), ratio, word)
}

// short writes a time with three digits.
func short(d time.Duration) string {
	unit, name := time.Nanosecond, "ns"
	switch {
	case d >= time.Millisecond:
		unit, name = time.Millisecond, "ms"
	case d >= time.Microsecond:
		unit, name = time.Microsecond, "µs"
	}
	return plot.Short(float64(d)/float64(unit)) + " " + name
}

// table is a sweep as Markdown.
func table(s sweep, all []sample) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n![%s](charts/%s.svg)\n\n", s.title, s.title, s.name)
	fmt.Fprintf(&b, "| %s | %ss/s | p99, ms | processor for one %s |\n|---:|---:|---:|---:|\n", s.axis, s.unit, s.unit)
	for _, m := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", plot.Short(float64(m.value)), plot.Short(m.rate()),
			plot.Short(m.p99.Seconds()*1000), short(m.cost()))
	}
	fmt.Fprintf(&b, "\nOne %s costs %s.\n", s.unit, growth(all))
	return b.String()
}
