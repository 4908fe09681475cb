package migrate

import (
	"slices"
	"testing"
)

// A name has quotes where it can't be written without, and what is no name has none.
func TestRequoted(t *testing.T) {
	for s, want := range map[string]string{
		`jdoe`: `jdoe`, `"jdoe"`: `jdoe`, `"john doe"`: `"john doe"`, `"john doe"@x.example`: `"john doe"@x.example`, `john" "doe@x.example`: `"john doe"@x.example`,
		`"a.b"@x.example`: `a.b@x.example`, `"a..b"@x.example`: `"a..b"@x.example`, `"a\"b"`: `"a\"b"`, `"a\\b"`: `"a\\b"`, `"a@b"@x.example`: `"a@b"@x.example`,
		`@x.example`: `@x.example`, `"@x.example"`: `"@x.example"`, `"|/bin/sh -c x"`: `|/bin/sh -c x`, `"/dev/null"`: `/dev/null`, `":include:/l i"`: `:include:/l i`, `""`: ``, `\root`: `\root`, `"open`: `open`,
	} {
		if got := requoted(s); got != want {
			t.Errorf("%s is %s, not %s", s, got, want)
		}
	}
	if got := split(`"a, b" c,,"d\", e" ,f`, ", \t"); !slices.Equal(got, []string{`"a, b"`, `c`, `"d\", e"`, `f`}) {
		t.Errorf("%q", got)
	}
}
