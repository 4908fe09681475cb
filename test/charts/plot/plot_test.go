package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func chart(points ...Point) Chart {
	return Chart{Title: "a < b & c", X: "clients", Panels: []Panel{{"messages/s", points}, {"p99, ms", points}}}
}

// element is what a drawing has, with its attributes.
type element struct {
	name string
	attr map[string]string
	text string
}

// elements reads a drawing as any reader of XML does.
func elements(t interface{ Fatalf(string, ...any) }, svg []byte) (all []element) {
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		switch x := token.(type) {
		case xml.StartElement:
			e := element{name: x.Name.Local, attr: map[string]string{}}
			for _, a := range x.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			all = append(all, e)
		case xml.CharData:
			if len(all) > 0 {
				all[len(all)-1].text += strings.TrimSpace(string(x))
			}
		}
	}
}

// Points stand where their values are: further to the right the greater, higher the more, equal
// factors equally far apart, and 0 a step before 1.
func TestPointsStandWhereTheyBelong(t *testing.T) {
	svg, err := chart(Point{0, 1}, Point{1, 10}, Point{10, 100}, Point{100, 1000}).SVG()
	if err != nil {
		t.Fatal(err)
	}
	var x, y []float64
	for _, e := range elements(t, svg) {
		if e.name == "circle" {
			cx, _ := strconv.ParseFloat(e.attr["cx"], 64)
			cy, _ := strconv.ParseFloat(e.attr["cy"], 64)
			x, y = append(x, cx), append(y, cy)
		}
	}
	if len(x) != 8 {
		t.Fatalf("%d points, want four in each of two panels", len(x))
	}
	for i := 1; i < 4; i++ {
		dx, dy := x[i]-x[i-1], y[i-1]-y[i]
		if math.Abs(dx-(x[1]-x[0])) > 0.2 || dx <= 0 || math.Abs(dy-(y[0]-y[1])) > 0.2 || dy <= 0 {
			t.Errorf("point %d lies %.1f to the right and %.1f higher", i, dx, dy)
		}
		if math.Abs(x[4+i]-x[i]-panelWidth) > 0.2 || y[4+i] != y[i] {
			t.Errorf("point %d of the second panel lies at %.1f, %.1f", i, x[4+i], y[4+i])
		}
	}
}

// Whatever was measured, the drawing is well-formed, the same each time, and nothing lies outside.
func TestEverythingLiesInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var points []Point
		at := 0.0
		for range rapid.IntRange(1, 12).Draw(t, "n") {
			points = append(points, Point{at, rapid.Float64Range(1e-6, 1e9).Draw(t, "y")})
			at += rapid.Float64Range(0.001, 1e6).Draw(t, "more")
		}
		c := chart(points...)
		c.X = rapid.String().Filter(func(s string) bool {
			return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > 0xd7ff })
		}).Draw(t, "x")
		svg, err := c.SVG()
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := c.SVG(); !bytes.Equal(svg, again) {
			t.Fatal("drawn otherwise a second time")
		}
		circles, labels := 0, 0
		for _, e := range elements(t, svg) {
			if e.name == "circle" {
				circles++
				inside(t, e.attr["cx"], e.attr["cy"], (circles-1)/len(points))
			}
			if e.name == "text" && e.attr["text-anchor"] == "end" {
				labels++
			}
		}
		if circles != 2*len(points) || labels < 4 || labels > 32 {
			t.Fatalf("%d points, %d labels of heights", circles, labels)
		}
	})
}

func inside(t *rapid.T, cx, cy string, panel int) {
	x, errX := strconv.ParseFloat(cx, 64)
	y, errY := strconv.ParseFloat(cy, 64)
	if errX != nil || errY != nil || x < float64(panel*panelWidth+left) || x > float64((panel+1)*panelWidth-right) || y < top-0.1 || y > panelHeight-bottom+0.1 {
		t.Fatalf("a point at %s, %s of panel %d", cx, cy, panel)
	}
}

func TestWhatCannotBeDrawn(t *testing.T) {
	for name, c := range map[string]Chart{
		"no panel":  {},
		"no point":  chart(),
		"below":     chart(Point{-1, 1}),
		"nothing":   chart(Point{1, 0}),
		"not known": chart(Point{1, math.NaN()}),
		"endless":   chart(Point{math.Inf(1), 1}),
		"disorder":  chart(Point{2, 1}, Point{1, 1}),
		"twice":     chart(Point{2, 1}, Point{2, 1}),
	} {
		if svg, err := c.SVG(); !errors.Is(err, ErrEmpty) || svg != nil {
			t.Errorf("%s: drawn, %v", name, err)
		}
	}
}

func TestTexts(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.05: "0.05", 1: "1", 999: "999", 1000: "1k", 1024: "1.02k", 25e6: "25M", 3.14159: "3.14", 999_999: "1M", 1e9: "1G"} {
		if got := Short(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	svg, err := chart(Point{1, 1}).SVG()
	if err != nil {
		t.Fatal(err)
	}
	var title string
	for _, e := range elements(t, svg) {
		if e.name == "title" && title == "" {
			title = e.text
		}
	}
	if title != "a < b & c" {
		t.Errorf("the title is %q", title)
	}
}

// An axis names 1, 2 and 5 of each power, or the powers alone where those are many.
func TestTicks(t *testing.T) {
	for _, row := range []struct {
		low, high float64
		want      string
	}{
		{1, 1, "1"},
		{1, 100, "1 2 5 10 20 50 100"},
		{20, 500, "20 50 100 200 500"},
		{0.05, 0.2, "0.05 0.1 0.2"},
		{1, 1e6, "1 10 100 1k 10k 100k 1M"},
		{2, 5e6, "10 100 1k 10k 100k 1M"},
	} {
		var got []string
		for _, v := range ticks(row.low, row.high) {
			got = append(got, Short(v))
		}
		if strings.Join(got, " ") != row.want {
			t.Errorf("%v to %v: %q, want %q", row.low, row.high, got, row.want)
		}
	}
	for _, v := range []float64{0.3, 1, 1.5, 2, 3, 7, 10, 99} {
		if down, up := step(v, false), step(v, true); down > v || up < v || !slices.Contains([]string{"1", "2", "5"}, fmt.Sprint(down)[:1]) && down >= 1 {
			t.Errorf("%v lies between %v and %v", v, down, up)
		}
	}
}
