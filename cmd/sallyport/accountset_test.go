package main

import (
	"testing"
	"time"

	"sallyport/internal/budget"
	"sallyport/internal/operate"
)

// Whoever reads that an account is capped sees why, where it has not sent what it may.
func TestCappedUsage(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		used int
		want string
	}{
		{9, "9 of 9 within an hour, 9 of 20 within a day"},
		{3, "3 of 9 within an hour, 3 of 20 within a day; at 2026-11-28 12:00:00 UTC a message asked for more than was left"},
	} {
		a := operate.Allowance{Used: budget.Use{Hour: row.used, Day: row.used}, Most: budget.Limits{Hour: 9, Day: 20}, Refused: at}
		if got := cappedUsage(a); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
}
