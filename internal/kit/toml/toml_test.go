package toml_test

import (
	"testing"
	"unicode/utf8"

	read "github.com/pelletier/go-toml/v2"

	"sallyport/internal/kit/toml"
)

// Whatever is written is read as what it was.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "plain", `a "quoted" \ text`, "\x00\t\r\n\x1f\x7f", "bücher€", "# no comment", "'''", "= [x]\n[y]", "\u0085\u2028\U0010ffff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got struct{ K string }
		if err := read.Unmarshal([]byte("k = "+toml.Quote(s)+"\n"), &got); utf8.ValidString(s) && (err != nil || got.K != s) {
			t.Errorf("%q is read as %q, %v", s, got.K, err)
		}
	})
}
