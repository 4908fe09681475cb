package verdict

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Figure is one figure over all scenarios: what was counted is added up, and of lengths and
// sizes it is the largest.
type Figure struct {
	Measure
	Scenarios []string // those in which it is beyond its bound
}

// Figures are those of a promise, in the order in which they came first.
func (v Verdict) Figures() (all []Figure) {
	for _, m := range v.Measures {
		i := slices.IndexFunc(all, func(f Figure) bool { return f.What == m.What })
		if i < 0 {
			i = len(all)
			all = append(all, Figure{Measure: m})
		} else {
			all[i].join(m)
		}
		if !m.Holds() {
			all[i].Scenarios = append(all[i].Scenarios, m.Scenario)
		}
	}
	return all
}

func (f *Figure) join(m Measure) {
	f.Tried += m.Tried
	f.Most = max(f.Most, m.Most)
	if m.Unit == "seconds" || m.Unit == "octets" {
		f.Found = max(f.Found, m.Found)
	} else {
		f.Found += m.Found
	}
	f.Examples = append(f.Examples[:len(f.Examples):len(f.Examples)], m.Examples...)
	f.Examples = f.Examples[:min(len(f.Examples), mostExamples)]
}

// From how many seconds on a time is told in minutes, and in hours.
const (
	minutesFrom = 180
	hoursFrom   = 7200
)

// Amount is a figure in words, in its unit: "1,200", "0.4 s", "52 MB".
func Amount(n float64, unit string) string {
	switch {
	case unit == "seconds" && n >= hoursFrom:
		return strconv.FormatFloat(n/3600, 'f', 1, 64) + " h"
	case unit == "seconds" && n >= minutesFrom:
		return strconv.FormatFloat(n/60, 'f', 1, 64) + " min"
	case unit == "seconds":
		return strconv.FormatFloat(n, 'f', 1, 64) + " s"
	case unit == "octets":
		return octets(n)
	}
	return Thousands(int(n))
}

func octets(n float64) string {
	for _, u := range []struct {
		at   float64
		name string
	}{{1e9, " GB"}, {1e6, " MB"}, {1e3, " kB"}} {
		if n >= u.at {
			return strconv.FormatFloat(n/u.at, 'f', 1, 64) + u.name
		}
	}
	return strconv.Itoa(int(n)) + " octets"
}

// Thousands writes a number with commas.
func Thousands(n int) string {
	s := strconv.Itoa(n)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 && s[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Seconds writes how long something took.
func Seconds(d time.Duration) string { return Amount(d.Seconds(), "seconds") }
