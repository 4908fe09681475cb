package dnsx

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	label := strings.Repeat("a", 63)
	long := label + "." + label + "." + label + "." + label[:61]
	for text, want := range map[string]string{
		"Mx.Example.": "mx.example", "_25._tcp.mx.example": "_25._tcp.mx.example", "a": "a", "127.0.0.1": "127.0.0.1",
		long: long, long + "a": "", label + "a": "",
		"": "", ".": "", "..": "", "a..b": "", ".a": "", "a b": "", `a\000b`: "", `a\.b`: "", "a\x00b": "", "ä.test": "", "*.test": "", "a/b": "",
	} {
		n, err := ParseName(text)
		if n.String() != want || (err == nil) != (want != "") || n.IsZero() != (want == "") {
			t.Errorf("%q became %q, %v", text, n, err)
		}
	}
	if NameOf(domain(t, "X.Test")) != name(t, "x.test.") {
		t.Error("a domain and its name differ")
	}
}
