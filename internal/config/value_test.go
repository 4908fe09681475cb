package config

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSizesAreWrittenWithTheirUnit(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "1_000": 1000, "1B": 1, "1KB": 1000, "1KiB": 1024, "50MiB": 50 << 20, "50 MiB": 50 << 20,
		"2GB": 2e9, "1TiB": 1 << 40, "8388607TiB": 8388607 << 40,
	} {
		if got, err := parseSize(text); got != want || err != nil {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", " ", "MiB", "-1", "1.5MiB", "1 mib", "1m", "1M", "1KiBs", "8388608TiB", "99999999999999999999", "0x10", "1 2"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q was taken as %d", text, got)
		}
	}
}

// TestNoNumberIsNegativeOrWrapsRound feeds anything.
func TestNoNumberIsNegativeOrWrapsRound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9]{0,22}[_ .]?[0-9]{0,3} ?[KMGT]?i?B?[wdhms]{0,3}`).Draw(t, "text")
		if v, err := parseSize(text); err == nil && v < 0 {
			t.Fatalf("%q is the size %d", text, v)
		}
	})
}

// TestTheCaretStandsUnderTheFault, after tabs and letters of several octets too,
// and no control character of the file reaches the terminal.
func TestTheCaretStandsUnderTheFault(t *testing.T) {
	for text, want := range map[string]string{
		"\tdetail = \"é\"":            "  1 | \tdetail = \"é\"\n    | \t         ^^^\n",
		"\"ü\" = 1":                   "  1 | \"ü\" = 1\n    | ^^^\n",
		"detail = \"x\" # \u009b2J":   "  1 | detail = \"x\" # ?2J\n    |          ^^^\n",
		"detail = \"\"\"\na\nb\"\"\"": "  1 | detail = \"\"\"\n    |          ^^^\n",
	} {
		_, err := Parse("x.toml", []byte(text+"\n"))
		if err == nil {
			t.Fatalf("%q was taken", text)
		}
		found := false
		for _, f := range err.(Faults) {
			found = found || f.Excerpt() == want
		}
		if !found {
			t.Errorf("%q: no excerpt is\n%s\nin\n%v", text, want, err)
		}
	}
	for _, f := range []Fault{{Position: Position{File: "x", Line: 1, Column: 99}, Source: "short"}, {}} {
		if strings.Contains(f.Excerpt(), "\x00") {
			t.Errorf("%q", f.Excerpt())
		}
	}
}
