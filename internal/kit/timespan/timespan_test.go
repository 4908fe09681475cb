package timespan

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDurationsAreWrittenWithTheirUnit(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "200ms": 200 * time.Millisecond,
		"5d": 5 * day, "2w": 14 * day, "1d12h": 36 * time.Hour, "1w1d": 8 * day, "0": 0, "0d": 0, "1d1ns": day + 1,
	} {
		if got, err := Parse(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "-5s", "5 minutes", "1.5d", "d", "1d1w", "1d-12h", "99999999w", "65535w", "20000w", "15250w365d", "1y", "d5"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q was taken as %v", text, got)
		}
	}
}

func TestNoDurationIsNegativeOrWrapsRound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([0-9]{1,6}w)?([0-9]{1,6}d)?(-?[0-9]{0,22}[.]?[0-9]{0,3}[hms]{0,2})?`).Draw(t, "text")
		if d, err := Parse(text); err == nil && d < 0 {
			t.Fatalf("%q is the duration %v", text, d)
		}
	})
}

func TestSince(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-01": time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		"3d":         now.Add(-72 * time.Hour),
		"90m":        now.Add(-90 * time.Minute),
		"0s":         now,
	} {
		var s Since
		if err := s.UnmarshalText([]byte(text)); err != nil || !s.From(now).Equal(want) {
			t.Errorf("%q: %v, %v", text, s.From(now), err)
		}
	}
	if at := (Since{}).From(now); !at.IsZero() {
		t.Errorf("none given: %v", at)
	}
	for _, text := range []string{"", "yesterday", "2026-13-01", "3", "-3d"} {
		if err := new(Since).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestFlag(t *testing.T) {
	var f Flag
	if err := f.UnmarshalText([]byte("1w")); err != nil || time.Duration(f) != 7*day {
		t.Errorf("%v, %v", f, err)
	}
	if err := f.UnmarshalText([]byte("-1h")); err == nil || time.Duration(f) != 7*day {
		t.Errorf("%v, %v", f, err)
	}
}
