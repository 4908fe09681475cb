package settings

import (
	"testing"
	"time"
)

// Whatever the clock shows, times can be counted in nanoseconds, and one that can be is left as it is.
func TestAClockBeyondWhatCanBeCounted(t *testing.T) {
	for text, want := range map[string]string{
		"0001-01-01T00:00:00Z": "1970-01-01T00:00:01Z", "1969-12-31T00:00:00Z": "1970-01-01T00:00:01Z",
		"2026-11-30T01:02:03Z": "2026-11-30T01:02:03Z", "2036-11-30T01:02:03Z": "2036-11-30T01:02:03Z",
		"2262-04-12T00:00:00Z": "2200-01-01T00:00:00Z", "9999-12-31T00:00:00Z": "2200-01-01T00:00:00Z",
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		got := World{Now: func() time.Time { return at }}.Complete().Now()
		if got.Format(time.RFC3339) != want {
			t.Errorf("%s: %s, want %s", text, got.Format(time.RFC3339), want)
		}
		if later := got.AddDate(50, 0, 0); later.UnixNano() <= 0 || !time.Unix(0, later.UnixNano()).Equal(later) {
			t.Errorf("%s: 50 years later cannot be counted", text)
		}
	}
}
