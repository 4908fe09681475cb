package expiry

import "time"

// Step is how many days before the end somebody is told.
type Step int

const (
	// StepNone is that nobody was told, or need be.
	StepNone Step = -1
	// StepEnded is told where the last step before the end was missed.
	StepEnded Step = 0
)

// day is that of the clock: 24 hours.
const day = 24 * time.Hour

// late is how long after its end a certificate is told of, if it was not before.
const late = 30 * day

// Due returns the step that somebody must be told of now: of those that passed the one that is
// nearest to the end. steps fall; told is the last one that was told, and made is when the
// certificate came: steps before that are none, so that nobody is warned of what has just
// been given.
func Due(steps []Step, made, end, now time.Time, told Step) Step {
	due := StepNone
	for _, s := range steps {
		at := end.Add(-time.Duration(s) * day)
		if at.After(made) && !now.Before(at) {
			due = s
		}
	}
	last := steps[len(steps)-1]
	if !now.Before(end) {
		if told == last || told == StepEnded || now.Sub(end) > late {
			return StepNone
		}
		return StepEnded
	}
	if due == StepNone || told != StepNone && told <= due {
		return StepNone
	}
	return due
}
