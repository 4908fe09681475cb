package intake

import "testing"

// What an inspector says after its time is no reason to let a message in, or to put it off
// under another rule; a refusal is one at any time.
func TestAFindingThatComesLate(t *testing.T) {
	for action := ActionUnknown; action <= Refuse; action++ {
		if !counts(Finding{Action: action}, false) {
			t.Errorf("action %d does not count in time", action)
		}
		if got := counts(Finding{Action: action}, true); got != (action == Refuse) {
			t.Errorf("action %d counts late: %v", action, got)
		}
	}
}
