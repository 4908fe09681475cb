package expiry

import (
	"math/rand/v2"
	"testing"
	"time"
)

var epoch = time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)

func days(n float64) time.Time { return epoch.Add(time.Duration(n * float64(day))) }

func TestDue(t *testing.T) {
	steps := DefaultLimits().Owner
	for name, c := range map[string]struct {
		made, left float64 // days before the end
		told, want Step
	}{
		"far":                              {365, 31, StepNone, StepNone},
		"the first":                        {365, 30, StepNone, 30},
		"told":                             {365, 29, 30, StepNone},
		"the second":                       {365, 7, 30, 7},
		"the second, of a standing server": {365, 5, StepNone, 7},
		"just before the last":             {365, 1.001, 7, StepNone},
		"the last":                         {365, 1, 7, 1},
		"all of them at once":              {365, 0.5, StepNone, 1},
		"over, told":                       {365, 0, 1, StepNone},
		"over, missed":                     {365, 0, 7, StepEnded},
		"over, and that was told":          {365, -1, StepEnded, StepNone},
		"long over":                        {365, -31, 7, StepNone},
		"for a visit":                      {20, 19, StepNone, StepNone},
		"for a visit, later":               {20, 7, StepNone, 7},
		"for an afternoon":                 {0.3, 0.2, StepNone, StepNone},
		"made on the step":                 {30, 29, StepNone, StepNone},
	} {
		end := days(400)
		if got := Due(steps, end.Add(-time.Duration(c.made*float64(day))), end, end.Add(-time.Duration(c.left*float64(day))), c.told); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// Whenever the server runs and stands: no step twice and none after a nearer one, and after each
// look the nearest step that passed was told.
func TestStepsWithAServerThatStands(t *testing.T) {
	steps, end := DefaultLimits().Owner, days(400)
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		told, seen := StepNone, map[Step]int{}
		for now := days(350 + 10*r.Float64()); now.Before(end.Add(20 * day)); now = now.Add(time.Duration(r.ExpFloat64() * 3 * float64(day))) {
			if s := Due(steps, days(0), end, now, told); s != StepNone {
				if seen[s]++; seen[s] > 1 || told != StepNone && s >= told {
					t.Fatalf("seed %d: %d after %d, %v", seed, s, told, seen)
				}
				told = s
			}
			left := end.Sub(now)
			switch {
			case left > 30*day && told != StepNone,
				left <= 30*day && left > 7*day && told != 30,
				left <= 7*day && left > day && told != 7,
				left <= day && left > 0 && told != 1,
				left <= 0 && told > 1, left <= 0 && told == StepNone:
				t.Fatalf("seed %d: %v before the end %d was told", seed, left, told)
			}
		}
	}
}
