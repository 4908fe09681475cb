package dnsx

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
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

// A name of any octets goes over the wire as it is, has the same text when it comes
// back, and is asked for by the same octets.
func TestNamesOfAnyOctets(t *testing.T) {
	for c := range 256 {
		text := "a" + string([]byte{byte(c)}) + "0" + string([]byte{byte(c)}) + ".x.test"
		if c == '.' {
			continue
		}
		n, err := NameOfOctets(text)
		check(t, err)
		m := dns.Msg{Question: []dns.Question{{Name: n.wire(), Qtype: dns.TypeTXT, Qclass: dns.ClassINET}}}
		b, err := m.Pack()
		check(t, err)
		back, _, err := dns.UnpackDomainName(b, headerOctets)
		check(t, err)
		octets, ok := n.Octets()
		low := []byte(text)
		for i, c := range low {
			if c >= 'A' && c <= 'Z' {
				low[i] = c | 0x20
			}
		}
		if nameFromWire(back) != n || !ok || octets != string(low) || strings.IndexFunc(n.String(), func(r rune) bool { return r <= ' ' && r != ' ' || r > '~' }) >= 0 {
			t.Errorf("%q became %q, came back as %q, and is asked for as %q", text, n, back, octets)
		}
		if wire := string(b[headerOctets : headerOctets+5]); wire != "\x04"+string(low[:4]) {
			t.Errorf("%q is asked for as %q", text, wire)
		}
	}
	for _, bad := range []string{"", ".", "a..b", ".a", strings.Repeat("ä", 32) + ".test", strings.Repeat("a b.", 64)} {
		if n, err := NameOfOctets(bad); err == nil {
			t.Errorf("%q became %q", bad, n)
		}
	}
	for text, want := range map[string]string{`a\.b.test.`: " false", `a\\.b.test.`: `a\.b.test true`, ".": " false", `\065x.`: "Ax true"} {
		octets, ok := nameFromWire(text).Octets()
		if got := fmt.Sprint(octets, " ", ok); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	odd, err := NameOfOctets("a b.test")
	check(t, err)
	if n, err := odd.Below("_25._tcp"); err != nil || n.String() != `_25._tcp.a\ b.test` {
		t.Errorf("%q %v", n, err)
	}
	for _, labels := range []string{"", "a b", strings.Repeat("a.", 123) + "a"} {
		if n, err := odd.Below(labels); err == nil {
			t.Errorf("%q below it became %q", labels, n)
		}
	}
}
