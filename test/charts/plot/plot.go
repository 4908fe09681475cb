// Package plot draws curves as SVG: panels side by side, over one axis that is logarithmic. It
// reads nothing and knows no time: the same curves make the same octets.
package plot

import (
	"errors"
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// Point is one measurement.
type Point struct{ X, Y float64 }

// Panel is one drawing of a Chart: one curve, with what its height means.
type Panel struct {
	Y      string
	Points []Point // in the order of X
}

// Chart is drawings of several things over the same one.
type Chart struct {
	Title  string
	X      string
	Panels []Panel
}

// ErrEmpty refuses a chart without a panel, a panel without a point, and points that have no
// place on a logarithmic axis or are not in order.
var ErrEmpty = errors.New("plot: nothing that can be drawn")

// What is drawn where, in pixels.
const (
	panelWidth  = 380
	panelHeight = 260
	left        = 64
	right       = 16
	top         = 44
	bottom      = 48
)

// colours of the panels, in turn: dark enough on white, light enough on black.
func colour(panel int) string { return []string{"#2a78c8", "#c85a2a"}[panel%2] }

// SVG draws the chart.
func (c Chart) SVG() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	var b strings.Builder
	w := panelWidth * len(c.Panels)
	fmt.Fprintf(&b,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="11" role="img">`+"\n",
		w, panelHeight, w, panelHeight)
	fmt.Fprintf(&b, "<title>%s</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", html.EscapeString(c.Title), w, panelHeight)
	for i, p := range c.Panels {
		c.panel(&b, i, p)
	}
	b.WriteString("</svg>\n")
	return []byte(b.String()), nil
}

func (c Chart) check() error {
	if len(c.Panels) == 0 {
		return fmt.Errorf("%w: no panel", ErrEmpty)
	}
	for _, p := range c.Panels {
		if len(p.Points) == 0 {
			return fmt.Errorf("%w: no point of %q", ErrEmpty, p.Y)
		}
		for i, q := range p.Points {
			if q.X < 0 || q.Y <= 0 || math.IsInf(q.X+q.Y, 0) || math.IsNaN(q.X+q.Y) || i > 0 && q.X <= p.Points[i-1].X {
				return fmt.Errorf("%w: the point %v of %q", ErrEmpty, q, p.Y)
			}
		}
	}
	return nil
}

func (c Chart) panel(b *strings.Builder, i int, p Panel) {
	x, y := c.across(i, p), upwards(p)
	x0, x1, y0, y1 := float64(i*panelWidth+left), float64((i+1)*panelWidth-right), float64(panelHeight-bottom), float64(top)
	for _, t := range ticks(y.low, y.high) {
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#dddddd"/><text x="%.1f" y="%.1f" text-anchor="end" fill="#444444">%s</text>`+"\n",
			x0, x1, y.at(t), y.at(t), x0-6, y.at(t)+4, Short(t))
	}
	for _, q := range p.Points {
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#444444"/><text x="%.1f" y="%.1f" text-anchor="middle" fill="#444444">%s</text>`+"\n",
			x.at(q.X), x.at(q.X), y0, y0+4, x.at(q.X), y0+17, Short(q.X))
	}
	fmt.Fprintf(b, `<path d="M%.1f %.1fV%.1fH%.1f" fill="none" stroke="#444444"/>`+"\n", x0, y1, y0, x1)
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="#222222">%s</text>`+"\n", (x0+x1)/2, y0+36, html.EscapeString(c.X))
	fmt.Fprintf(b,
		`<text x="%.1f" y="%d" text-anchor="middle" fill="#222222" font-weight="bold">%s</text>`+"\n",
		(x0+x1)/2, top-18, html.EscapeString(p.Y))
	var line []string
	for _, q := range p.Points {
		line = append(line, fmt.Sprintf("%.1f,%.1f", x.at(q.X), y.at(q.Y)))
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(line, " "), colour(i))
	for _, q := range p.Points {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s: %s</title></circle>`+"\n",
			x.at(q.X), y.at(q.Y), colour(i), Short(q.X), Short(q.Y))
	}
}

// axis maps values to pixels.
type axis struct {
	low, high float64 // values at its ends
	from, to  float64 // pixels there
	of        func(float64) float64
}

func (a axis) at(v float64) float64 {
	low, high := a.of(a.low), a.of(a.high)
	if low == high {
		return (a.from + a.to) / 2
	}
	return a.from + (a.of(v)-low)/(high-low)*(a.to-a.from)
}

// across is the axis of what is varied. 0 lies a step before 1.
func (c Chart) across(i int, p Panel) axis {
	first := float64(i * panelWidth)
	return axis{
		p.Points[0].X, p.Points[len(p.Points)-1].X, first + left + 10, first + panelWidth - right - 10,
		func(v float64) float64 { return math.Log10(max(v, 0.1)) },
	}
}

// upwards is the axis of what was measured, from a step of its ticks below the least to one
// above the most.
func upwards(p Panel) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, q := range p.Points {
		low, high = min(low, q.Y), max(high, q.Y)
	}
	return axis{step(low/1.05, false), step(high*1.05, true), panelHeight - bottom, top, math.Log10}
}

// step is the next of 1, 2, 5, 10, ... at or beyond v.
func step(v float64, up bool) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	if up {
		for _, m := range []float64{1, 2, 5} {
			if m*power >= v {
				return m * power
			}
		}
		return 10 * power
	}
	for _, m := range []float64{5, 2} {
		if m*power <= v {
			return m * power
		}
	}
	return power
}

// ticks are the values of an axis that are named: no more than a dozen.
func ticks(low, high float64) []float64 {
	var all, round []float64
	for v := low; v <= high*1.001; v = step(v*1.001, true) {
		all = append(all, v)
		if m := v / math.Pow(10, math.Floor(math.Log10(v)+1e-9)); m < 1.5 {
			round = append(round, v)
		}
	}
	if len(all) > 12 {
		return round
	}
	return all
}

// Short writes a number as one does on an axis: 0.5, 20, 1k, 25M.
func Short(v float64) string {
	for _, u := range []struct {
		of   float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= u.of*0.9995 {
			return digits(v/u.of) + u.name
		}
	}
	return digits(v)
}

func digits(v float64) string { return strconv.FormatFloat(roundTo3(v), 'f', -1, 64) }

// roundTo3 keeps three digits.
func roundTo3(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, 2-math.Floor(math.Log10(v)))
	return math.Round(v*scale) / scale
}
