package history

import (
	"strings"
	"time"
)

// stamp reads the time that a line of syslog begins with: RFC 3339, as Debian 12's rsyslog
// writes it, with or without a colon in the zone, or "Nov  1 12:00:00" and "Nov 01
// 12:00:00" in the zone of written, without a year. It is the latest such time that is not
// after the file was written (give or take a day, for clocks).
func stamp(line string, written time.Time) (at time.Time, rest string, ok bool) {
	if first, rest, found := strings.Cut(line, " "); found {
		for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999-0700"} {
			if at, err := time.Parse(form, first); err == nil {
				return at, rest, true
			}
		}
	}
	const short = len("Jan _2 15:04:05")
	if len(line) <= short || line[short] != ' ' {
		return time.Time{}, "", false
	}
	t, err := time.Parse("Jan _2 15:04:05", line[:short])
	if err != nil {
		if t, err = time.Parse("Jan 02 15:04:05", line[:short]); err != nil {
			return time.Time{}, "", false
		}
	}
	// Eight years have a 29th of February among them.
	for year := written.Year() + 1; year >= written.Year()-8; year-- {
		at := time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, written.Location())
		if at.Day() == t.Day() && !at.After(written.Add(24*time.Hour)) {
			return at, line[short+1:], true
		}
	}
	return time.Time{}, "", false
}

// eximStamp reads the time that a line of Exim's main log begins with: "2026-11-01
// 12:00:00", with fractions and a zone where Exim was told to write them.
func eximStamp(line string, in *time.Location) (at time.Time, rest string, ok bool) {
	words := strings.SplitN(line, " ", 4)
	if len(words) < 3 {
		return time.Time{}, "", false
	}
	if len(words) == 4 && len(words[2]) == 5 && (words[2][0] == '+' || words[2][0] == '-') {
		if at, err := time.Parse("2006-01-02 15:04:05.999999999 -0700", words[0]+" "+words[1]+" "+words[2]); err == nil {
			return at, words[3], true
		}
	}
	at, err := time.ParseInLocation("2006-01-02 15:04:05.999999999", words[0]+" "+words[1], in)
	return at, line[len(words[0])+len(words[1])+2:], err == nil
}
