package migrate

import (
	"slices"
	"testing"
)

// An address stands in a list as RFC 5322 lets people write it.
func TestAddressOf(t *testing.T) {
	for s, want := range map[string]string{
		`anna`: `anna`, ` anna `: `anna`, `Anna Adams <anna@x.example>`: `anna@x.example`, `"Adams, Anna" <anna@x.example>`: `anna@x.example`, `<anna>`: `anna`, `< anna@x.example > (home)`: `anna@x.example`,
		`anna@x.example (Anna (Adams))`: `anna@x.example`, `(the boss) anna`: `anna`, `"a (b) <c>"@x.example`: `"a (b) <c>"@x.example`, `"a\"<b>"@x.example`: `"a\"<b>"@x.example`,
		`|/bin/x <y (z)`: `|/bin/x <y (z)`, `"|/bin/x <y>"`: `"|/bin/x <y>"`, `/var/mail (x)`: `/var/mail (x)`, `:include:/l (x)`: `:include:/l (x)`, `\anna`: `\anna`, `Anna <anna`: `Anna <anna`, `anna (x`: `anna (x`,
		``: ``, `""`: `""`, `a > b`: `a > b`, `a ) b`: `a ) b`,
	} {
		if got := addressOf(s); got != want {
			t.Errorf("%s is %s, not %s", s, got, want)
		}
	}
	if got := addressesOf(`anna ben,Carl <carl@x.example> , dora (home) emil "f g"@x.example,,<gina@x.example>`); !slices.Equal(got, []string{"anna", "ben", "carl@x.example", "dora", "emil", `"f g"@x.example`, "gina@x.example"}) {
		t.Errorf("%q", got)
	}
}

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
