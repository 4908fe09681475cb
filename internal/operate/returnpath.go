package operate

import "time"

// ReturnPath is how far the signing of return paths has come.
type ReturnPath struct {
	Sign string `json:"sign"` // "tag" or "require"
	// Since is when signing began without a break; zero: it begins with the next start
	// or reload.
	Since time.Time `json:"since,omitzero"`
	// RefusesFrom is from when on bounces without a signature are refused; zero: they
	// are not, or signing has not begun.
	RefusesFrom time.Time `json:"refuses_from,omitzero"`
}

// Words says it in one line, behind "return paths".
func (r ReturnPath) Words(now time.Time) string {
	day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	switch {
	case r.Since.IsZero() && r.Sign == "require":
		return "will be signed from the next start or reload on; 14 days later bounces without a signature are refused"
	case r.Since.IsZero():
		return "will be signed from the next start or reload on"
	case r.RefusesFrom.IsZero():
		return "are signed since " + day(r.Since) + "; bounces without a signature are taken"
	case now.Before(r.RefusesFrom):
		return "are signed since " + day(r.Since) + "; bounces without a signature are refused from " + r.RefusesFrom.UTC().Format("2006-01-02 15:04 MST") + " on"
	}
	return "are signed since " + day(r.Since) + "; bounces without a signature are refused since " + day(r.RefusesFrom)
}
