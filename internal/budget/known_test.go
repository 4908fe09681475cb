package budget_test

import (
	"encoding/hex"
	"testing"
	"time"

	"sallyport/internal/budget"
)

// Known answers: what an older release counted still counts.
func TestKnownCounts(t *testing.T) {
	c := budget.Count{}.Add(noon.Add(-3*time.Hour), 300).Add(noon.Add(-10*time.Minute), 5).Add(noon, 1000)
	for stored, want := range map[string]budget.Count{
		"01b0afed02e807000500000000000000000000e8070500ac02000000000000000000000000000000000000000000": c,
		"01000000000000000000000000000000000000000000000000000000000000000000000000000000":             {},
	} {
		if got := hex.EncodeToString(want.Encode()); got != stored {
			t.Errorf("stored as %s, want %s", got, stored)
		}
		b, err := hex.DecodeString(stored)
		if err != nil {
			t.Error(err)
		}
		if back, err := budget.Decode(b); err != nil || back != want {
			t.Errorf("%s reads as %+v, %v", stored, back, err)
		}
	}
}
