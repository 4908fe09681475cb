// Package timespan parses durations as people write them, in the configuration and on the command
// line alike.
package timespan

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

var (
	errNumber = errors.New("it does not begin with a whole number")
	errUnit   = errors.New("its number or its unit is unknown")
	errLarge  = errors.New("it is too large")
)

// Parse reads "90s", "1h30m" and, beyond Go's units, "5d" and "2w" at the start: "2w3d",
// "1d12h". A day has 24 hours. A bare number is refused, since nobody could tell its
// unit, and so is what is negative.
func Parse(text string) (time.Duration, error) {
	whole, rest := time.Duration(0), text
	for _, u := range []struct {
		letter string
		length time.Duration
	}{{"w", week}, {"d", day}} {
		before, after, found := strings.Cut(rest, u.letter)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(before, 10, 16)
		if err != nil {
			return 0, errNumber
		}
		if n > uint64((math.MaxInt64-whole)/u.length) {
			return 0, errLarge
		}
		whole, rest = whole+time.Duration(n)*u.length, after
	}
	if rest == "" && text != "" {
		return whole, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || d > math.MaxInt64-whole {
		return 0, errUnit
	}
	return whole + d, nil
}

// Flag is a duration on a command line.
type Flag time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Flag) UnmarshalText(text []byte) error {
	d, err := Parse(string(text))
	if err != nil {
		return errors.New("write a duration such as 36h or 14d: " + err.Error())
	}
	*f = Flag(d)
	return nil
}

// Since is a moment on a command line: a day or a minute of the reader's clock, or how
// long ago it was. The zero value is no moment.
type Since struct {
	begin, end time.Time // of the day or the minute
	ago        time.Duration
	set        bool
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Since) UnmarshalText(text []byte) error {
	for _, form := range []struct {
		layout string
		days   int
		length time.Duration
	}{{time.DateOnly, 1, 0}, {"2006-01-02T15:04", 0, time.Minute}, {"2006-01-02 15:04", 0, time.Minute}, {time.RFC3339, 0, time.Second}} {
		if at, err := time.ParseInLocation(form.layout, string(text), time.Local); err == nil {
			*s = Since{begin: at, end: at.AddDate(0, 0, form.days).Add(form.length), set: true}
			return nil
		}
	}
	d, err := Parse(string(text))
	if err != nil {
		return errors.New("write a day as 2026-11-01, a minute as 2026-11-01T13:00, or how long ago as 36h or 14d: " + err.Error())
	}
	*s = Since{ago: d, set: true}
	return nil
}

// From returns the moment: the begin of the day or minute, or so long before now. It is
// zero if none was given.
func (s Since) From(now time.Time) time.Time {
	switch {
	case !s.set:
		return time.Time{}
	case !s.begin.IsZero():
		return s.begin
	}
	return now.Add(-s.ago)
}

// Until is a moment as Since, which ends what it bounds: its day or minute belongs to it.
type Until struct{ Since }

// To returns the moment: the end of the day or minute, or so long before now. It is zero
// if none was given.
func (u Until) To(now time.Time) time.Time {
	if u.set && !u.end.IsZero() {
		return u.end
	}
	return u.From(now)
}
