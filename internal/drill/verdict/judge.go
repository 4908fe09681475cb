package verdict

import "math"

// Source is where a figure was read.
type Source string

// Where figures come from.
const (
	Sink  Source = "sink"  // the server at which everything arrives that leaves
	Store Source = "store" // mailboxes, queue, accounts and the folder on disk
	Trace Source = "trace" // what the server recorded
)

// Measure is one figure with its bound.
type Measure struct {
	Promise  Promise `json:"promise"`
	Scenario string  `json:"scenario"`
	What     string  `json:"what"` // in words, such as "messages of strangers that left"
	Unit     string  `json:"unit"` // of Found and Most: messages, recipients, seconds, octets, accounts, connections
	Found    float64 `json:"found"`
	Most     float64 `json:"most"`
	// Tried is how often it could have gone wrong, as the server's own side shows; 0: the
	// figure shows nothing.
	Tried    int      `json:"tried"`
	From     Source   `json:"from"`
	Examples []string `json:"examples,omitempty"` // of what is beyond the bound
}

// Holds reports whether the figure is within its bound. What is no number is not.
func (m Measure) Holds() bool { return m.Found <= m.Most }

// Over is by how much the figure is beyond its bound; 0 where it holds.
func (m Measure) Over() float64 {
	if m.Holds() {
		return 0
	}
	if math.IsNaN(m.Found) {
		return math.Inf(1)
	}
	return m.Found - m.Most
}

// Verdict is what the measures say of one promise.
type Verdict struct {
	Promise  Promise   `json:"promise"`
	State    State     `json:"state"`
	Measures []Measure `json:"measures,omitempty"`
}

// Breaches are the measures that are beyond their bounds.
func (v Verdict) Breaches() (all []Measure) {
	for _, m := range v.Measures {
		if !m.Holds() {
			all = append(all, m)
		}
	}
	return all
}

// Tried is how often the promise could have been broken: of several figures of one scenario
// the largest counts, since they are about the same attempts.
func (v Verdict) Tried() (n int) {
	of := map[string]int{}
	for _, m := range v.Measures {
		of[m.Scenario] = max(of[m.Scenario], m.Tried)
	}
	for _, tried := range of {
		n += tried
	}
	return n
}

// Judge returns a verdict on each of the seven promises, in their order. A promise is kept when
// something was tried and every figure holds; a figure beyond its bound breaks it whatever was
// tried.
func Judge(all []Measure) []Verdict {
	out := make([]Verdict, 0, len(Promises()))
	for _, p := range Promises() {
		v := Verdict{Promise: p}
		for _, m := range all {
			if m.Promise != p {
				continue
			}
			v.Measures = append(v.Measures, m)
			switch {
			case !m.Holds():
				v.State = Broken
			case m.Tried > 0 && v.State == NotTested:
				v.State = Kept
			}
		}
		out = append(out, v)
	}
	return out
}
