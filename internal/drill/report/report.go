// Package report writes the report of a drill: as text of 80 columns, and as one HTML page that
// loads nothing and runs nothing.
package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"sallyport/internal/drill"
	"sallyport/internal/drill/verdict"
	"sallyport/internal/kit/words"
)

// width is how long a line of text may be.
const width = 80

// Summary is the whole report in one sentence.
func Summary(r drill.Report) string {
	count := map[verdict.State]int{}
	for _, v := range r.Verdicts {
		count[v.State]++
	}
	faults := 0
	for _, p := range r.Played {
		if p.Fault != "" && !p.Lacking {
			faults++
		}
	}
	switch all := len(r.Verdicts); {
	case faults > 0 && count[verdict.Broken] == 0:
		return fmt.Sprintf("%d of %d scenarios could not be played", faults, len(r.Played))
	case count[verdict.Broken] > 0:
		return fmt.Sprintf("%d of %d promises broken", count[verdict.Broken], all)
	case count[verdict.Kept] == all:
		return "all seven promises kept"
	}
	return fmt.Sprintf("%d promises kept, none broken, %d not tested", count[verdict.Kept], count[verdict.NotTested])
}

// Line is one figure in words: "recipients whom a thief's mail reached: 0 (at most 30)".
func Line(f verdict.Figure) string {
	line := f.What + ": " + verdict.Amount(f.Found, f.Unit)
	if f.Most > 0 {
		line += " (at most " + verdict.Amount(f.Most, f.Unit) + ")"
	}
	return line
}

// Over says by how much a figure is beyond its bound, and where; "" where it is not.
func Over(f verdict.Figure) string {
	if len(f.Scenarios) == 0 {
		return ""
	}
	return fmt.Sprintf("%s too many, in: %s", verdict.Amount(f.Found-f.Most, f.Unit), strings.Join(f.Scenarios, ", "))
}

// shown are the figures that a person sees: those that something was tried for, or that
// are beyond their bound.
func shown(v verdict.Verdict) []verdict.Figure {
	return slices.DeleteFunc(v.Figures(), func(f verdict.Figure) bool { return f.Tried == 0 && len(f.Scenarios) == 0 })
}

// Text writes the report.
func Text(w io.Writer, r drill.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s.\n", r.Host, Summary(r))
	b.WriteString(folded("", fmt.Sprintf("%s in %s, with seed %d, on loopback alone. Nothing of the server that runs was touched.", scenarios(r), verdict.Seconds(r.Took), r.Seed)))
	for i, v := range r.Verdicts {
		fmt.Fprintf(&b, "\n%d. %-58s %s\n", i+1, v.Promise.String(), stateWord(v))
		b.WriteString(folded("   ", v.Promise.Plain()))
		for _, f := range shown(v) {
			mark := "   - "
			if Over(f) != "" {
				mark = "   ! "
			}
			b.WriteString(folded(mark, Line(f)))
			if over := Over(f); over != "" {
				b.WriteString(folded("       ", over))
				for _, e := range f.Examples {
					b.WriteString(folded("       ", "such as "+e))
				}
			}
		}
		if v.State != verdict.NotTested {
			b.WriteString(folded("   ", tried(v)+" More: "+v.Promise.Read()))
		}
	}
	b.WriteString("\nWhat was played\n")
	for _, p := range r.Played {
		fmt.Fprintf(&b, "   %-10s %-52s %10s\n", p.Name, p.Title, verdict.Seconds(p.Took))
		if p.Fault != "" {
			b.WriteString(folded("              ", unplayed(p)))
		}
		if p.Outside > 0 {
			b.WriteString(folded("              ", fmt.Sprintf("the server wanted to reach others %d times, and was kept from it", p.Outside)))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// scenarios counts what was played.
func scenarios(r drill.Report) string { return words.Count(len(r.Played), "scenario") }

// tried says how often a promise could have been broken.
func tried(v verdict.Verdict) string {
	switch n := v.Tried(); n {
	case 1:
		return "Tried once."
	case 2:
		return "Tried twice."
	default:
		return "Tried " + verdict.Thousands(n) + " times."
	}
}

// sentence is Summary with a capital and a full stop.
func sentence(r drill.Report) string {
	s := Summary(r)
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// unplayed says why a scenario was not played to its end.
func unplayed(p drill.Played) string {
	if p.Lacking {
		return "not played: " + p.Fault
	}
	return "WRONG: not played to its end: " + p.Fault
}

func stateWord(v verdict.Verdict) string {
	if v.State == verdict.Broken {
		return "BROKEN"
	}
	return v.State.String()
}

// folded is a text in lines that fit, the first behind a mark and the others below its end.
func folded(mark, text string) string {
	var b strings.Builder
	line := mark
	empty := true
	for _, word := range strings.Fields(text) {
		if !empty && len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line, empty = strings.Repeat(" ", len(mark)), true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	return b.String() + line + "\n"
}

//go:embed page.html
var page string

// HTML writes the report as one page.
func HTML(w io.Writer, r drill.Report) error {
	t, err := template.New("drill").Funcs(template.FuncMap{
		"summary": Summary, "line": Line, "over": Over, "shown": shown, "seconds": verdict.Seconds,
		"class":    func(v verdict.Verdict) string { return strings.ReplaceAll(v.State.String(), " ", "-") },
		"unplayed": unplayed, "scenarios": scenarios, "tried": tried, "sentence": sentence,
		"next": func(i int) int { return i + 1 },
	}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}
