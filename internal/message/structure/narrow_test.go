package structure

import (
	"bytes"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The narrow letters of Japanese are folded as what the tables of Unicode decompose them to, with marks behind
// them and in broken text too.
func TestNarrowLettersAreFoldedAsTheTablesSay(t *testing.T) {
	folded := func(text string) []byte {
		var out []byte
		for d := norm.NFKD.Bytes([]byte(text)); len(d) > 0; {
			c, n := utf8.DecodeRune(d)
			if c == utf8.RuneError && n <= 1 {
				out = append(out, d[0])
			} else {
				out = utf8.AppendRune(out, unicode.ToLower(unicode.ToTitle(c)))
			}
			d = d[n:]
		}
		return out
	}
	widened := 0
	for c := rune(0xfee0); c < 0xfff0; c++ {
		for _, text := range []string{
			string(c), "ä" + string(c), string(c) + "\uff9e", string(c) + "\uff9f\u0301\u3099", "\uff76" + string(c) + "\u0323", "\xe3" + string(c) + "\xef\xbd", "\xef" + string(c),
		} {
			if got, want := appendFolded(nil, []byte(text)), folded(text); !bytes.Equal(got, want) {
				t.Errorf("%+q: %+q, want %+q", text, got, want)
			}
		}
		b := []byte(string(c))
		if widen(b); string(b) != string(c) {
			widened++
		}
	}
	if widened != len(wide)/3 {
		t.Errorf("%d are widened", widened)
	}
}
