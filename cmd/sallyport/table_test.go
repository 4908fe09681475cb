package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// A table that is too wide for the terminal folds: no line is longer, no word is broken,
// and nothing is lost. What reads it from a pipe gets one line a row.
func TestTableFolds(t *testing.T) {
	rows := [][]string{
		{"ID", "STATE", "SIZE", "NEXT TRY", "SENDER", "BECAUSE"},
		{strings.Repeat("a", 24), "waiting", "1.2 KB", "2026-11-28 01:02:03 UTC", "<älice@example.org>", "451 4.3.0 come back later when there is room again (mx.example.net)"},
		{strings.Repeat("b", 24), "held", "900 B", "-", "<>", "-"},
	}
	want := `ID                        STATE    SIZE    NEXT TRY
    SENDER  BECAUSE
aaaaaaaaaaaaaaaaaaaaaaaa  waiting  1.2 KB  2026-11-28 01:02:03 UTC
    <älice@example.org>  451 4.3.0 come back later when there is room again
    (mx.example.net)
bbbbbbbbbbbbbbbbbbbbbbbb  held     900 B   -
    <>  -
`
	if got := tabulate(rows, 80); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for width := 30; width < 200; width++ {
		for line := range strings.Lines(tabulate(rows, width)) {
			if utf8.RuneCountInString(line)-1 > width {
				t.Errorf("%d columns: %q", width, line)
			}
		}
	}
	piped := tabulate(rows, 0)
	if strings.Count(piped, "\n") != len(rows) || !strings.HasSuffix(piped, "<>                   -\n") {
		t.Errorf("piped\n%s", piped)
	}
}

// Prose folds below its value; what may be a record to copy does not.
func TestProseFolds(t *testing.T) {
	got := foldedProse("wrong    dns: a.test: one two three four five\n         -> do this and that and more\nadd TXT \"a b c d e f g h i j k l m n o p\"\nshort\n/etc/x.toml: a line with no name at all\n; of a zone file: a line to be read past\n",
		30)
	want := "wrong    dns: a.test: one two\n         three four five\n         -> do this and that\n             and more\nadd TXT \"a b c d e f g h i j k l m n o p\"\nshort\n/etc/x.toml: a line with no\n    name at all\n; of a zone file: a line to be\n;     read past\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
