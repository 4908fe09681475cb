package mtasts

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/dnsx"
)

// RFC 8461 §3.1, each rule.
func TestRecords(t *testing.T) {
	for _, c := range []struct {
		texts []string
		want  string
	}{
		{[]string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z"},
		{[]string{"v=STSv1;id=1"}, "1"},
		{[]string{"v=STSv1 ; \tid=aZ9 ; "}, "aZ9"},
		{[]string{"v=STSv1; x-new.field_1=some:thing; id=7;"}, "7"},
		{[]string{"v=STSv1; id=1; id=2;"}, "1"}, // the first counts
		{[]string{"v=spf1 -all", "v=STSv1; id=3;", "hello"}, "3"},
		{[]string{"v=STSv1x; id=3;"}, "none"},
		{[]string{"v=stsv1; id=3;"}, "none"}, // the version is case-sensitive
		{[]string{" v=STSv1; id=3;"}, "none"},
		{[]string{"v=STSv1"}, "none"},
		{nil, "none"},
		{[]string{"v=STSv1; id=1;", "v=STSv1; id=1;"}, "invalid"},
		{[]string{"v=STSv1;"}, "invalid"},
		{[]string{"v=STSv1; ; id=1"}, "invalid"},
		{[]string{"v=STSv1; id"}, "invalid"},
		{[]string{"v=STSv1; id=;"}, "invalid"},
		{[]string{"v=STSv1; id=a-b;"}, "invalid"},
		{[]string{"v=STSv1; id=" + strings.Repeat("a", 33)}, "invalid"},
		{[]string{"v=STSv1; id = 1"}, "invalid"},
		{[]string{"v=STSv1; -x=1; id=1"}, "invalid"},
		{[]string{"v=STSv1; x=a b; id=1"}, "invalid"},
		{[]string{"v=STSv1; id=1; " + strings.Repeat("x=1;", 400)}, "invalid"},
	} {
		id, err := FindRecord(c.texts)
		switch {
		case errors.Is(err, ErrNoRecord):
			id = "none"
		case errors.Is(err, ErrRecord):
			id = "invalid"
		}
		if id != c.want {
			t.Errorf("%q: %s, want %s", c.texts, id, c.want)
		}
	}
}

const goodPolicy = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\n"

// RFC 8461 §3.2, each rule.
func TestPolicies(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{goodPolicy, "enforce [mail.example.com *.example.net] 168h0m0s"},
		{strings.ReplaceAll(goodPolicy, "\n", "\r\n"), "enforce [mail.example.com *.example.net] 168h0m0s"},
		{strings.TrimSuffix(goodPolicy, "\n"), "enforce [mail.example.com *.example.net] 168h0m0s"},
		{goodPolicy + "\r\n\n", "enforce [mail.example.com *.example.net] 168h0m0s"},
		{"max_age:0\nmode:testing\nversion:\tSTSv1 \nmx:MAIL.Example.COM\n", "testing [mail.example.com] 0s"},
		{"version: STSv1\nmode: none\nmax_age: 9999999999\n", "none [] 8766h0m0s"}, // no longer than a year
		{"version: STSv1\nmode: testing\nmode: enforce\nmx: a.test\nmax_age: 1\nmax_age: x\n", "testing [a.test] 1s"},
		{goodPolicy + "ext-1: Grüße, Welt\nx.y: \n", "enforce [mail.example.com *.example.net] 168h0m0s"},
		{"version: STSv1\nmode: enforce\nmx: bücher.example\nmax_age: 1", "enforce [xn--bcher-kva.example] 1s"},
		{"", "a line is no field"},
		{"mode: enforce\nmx: a.test\nmax_age: 1\n", "it has no version"},
		{"version: STSv1\nmx: a.test\nmax_age: 1\n", "it has no mode"},
		{"version: STSv1\nmode: enforce\nmx: a.test\n", "it has no max_age"},
		{"version: STSv1\nmode: enforce\nmax_age: 1\n", "it has no mx"},
		{"version: STSv2\nmode: enforce\nmx: a.test\nmax_age: 1\n", "its version is not STSv1"},
		{"version: STSv1\nmode: Enforce\nmx: a.test\nmax_age: 1\n", "its mode is none that there is"},
		{"version: STSv1\nmode: enforce\nmx: a.test\nmax_age: +1\n", "its max_age is no number of seconds"},
		{"version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 12345678901\n", "its max_age is no number of seconds"},
		{"version: STSv1\nmode: enforce\nmx: a.test\nmax_age:\n", "its max_age is no number of seconds"},
		{"version: STSv1\nmode: enforce\nmx: *.*.test\nmax_age: 1\n", `an mx is no host name: "*.*.test"`},
		{"version: STSv1\nmode: enforce\nmx: *\nmax_age: 1\n", `an mx is no host name: "*"`},
		{"version: STSv1\nmode: enforce\nmx: m*.a.test\nmax_age: 1\n", `an mx is no host name: "m*.a.test"`},
		{"version: STSv1\nmode: enforce\nmx: \nmax_age: 1\n", `an mx is no host name: ""`},
		{"version: STSv1\n\nmode: none\nmax_age: 1\n", "a line is no field"},
		{"<html>\n" + goodPolicy, "a line is no field"},
		{goodPolicy + "x: a\x01b\n", "a field holds what is no text"},
		{goodPolicy + strings.Repeat("mx: a.test\n", 99), "it has more than 100 mx fields"},
		{goodPolicy + strings.Repeat("x: y\n", 20_000), "it is longer than 65536 octets"},
	} {
		p, err := ParsePolicy([]byte(c.text))
		got := fmt.Sprintf("%v %v %v", p.Mode, p.MX, p.MaxAge)
		if err != nil {
			got = strings.TrimPrefix(err.Error(), ErrPolicy.Error()+": ")
		}
		if got != c.want {
			t.Errorf("%.200q: %q, want %q", c.text, got, c.want)
		}
	}
}

// RFC 8461 §4.1: a wildcard is one whole label, the leftmost.
func TestHostsAPolicyNames(t *testing.T) {
	p, err := ParsePolicy([]byte(goodPolicy))
	check(t, err)
	for host, want := range map[string]bool{
		"mail.example.com": true, "MAIL.example.COM": true, "mail.example.com.": true,
		"a.example.net": true, "example.net": false, "a.b.example.net": false, "xexample.net": false,
		"mail.example.com.evil.test": false, "a.mail.example.com": false, "example.com": false,
	} {
		n, err := dnsx.ParseName(host)
		check(t, err)
		if p.Allows(n) != want {
			t.Errorf("%s: %v", host, !want)
		}
	}
	if p.Allows(dnsx.Name{}) || (Policy{}).Allows(name(t, "a.test")) || (Pattern{Wildcard: true}).Matches(name(t, "a.test")) {
		t.Error("nothing matches")
	}
}

// A policy reads back as it was written, and matches by the rule said in other words.
func TestPoliciesReadBack(t *testing.T) {
	label := rapid.StringMatching(`[a-z][a-z0-9]{0,5}`)
	rapid.Check(t, func(r *rapid.T) {
		p := Policy{Mode: rapid.SampledFrom([]Mode{ModeNone, ModeTesting, ModeEnforce}).Draw(r, "mode"),
			MaxAge: time.Duration(rapid.IntRange(0, 31557600).Draw(r, "age")) * time.Second}
		for range rapid.IntRange(1, 4).Draw(r, "patterns") {
			n, err := dnsx.ParseName(label.Draw(r, "label") + ".test")
			check(r, err)
			p.MX = append(p.MX, Pattern{Wildcard: rapid.Bool().Draw(r, "wild"), Name: n})
		}
		back, err := ParsePolicy([]byte(p.String()))
		if err != nil || fmt.Sprint(back) != fmt.Sprint(p) {
			r.Fatalf("%v became %v: %v", p, back, err)
		}
		host := strings.Join(rapid.SliceOfN(label, 1, 3).Draw(r, "host"), ".") + ".test"
		want := false
		for _, m := range p.MX {
			labels := strings.Split(host, ".")
			want = want || !m.Wildcard && host == m.Name.String() ||
				m.Wildcard && len(labels) == 3 && strings.Join(labels[1:], ".") == m.Name.String()
		}
		if got := back.Allows(name(r, host)); got != want {
			r.Fatalf("%v allows %s: %v", p, host, got)
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, s := range []string{"v=STSv1; id=1;", "v=STSv1;;", "v=STSv1; x=y; id=zz ;", "v=STSv1 ;id=1;id=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseRecord(s)
		if (err == nil) != isID(id) {
			t.Fatalf("%q: %q %v", s, id, err)
		}
		if err == nil && !strings.Contains(s, "id="+id) {
			t.Fatalf("%q: %q stands nowhere", s, id)
		}
	})
}

func FuzzPolicy(f *testing.F) {
	for _, s := range []string{goodPolicy, "version: STSv1\nmode: none\nmax_age: 0", "version: STSv1\r\nmode: testing\r\nmx: *.a.test\r\nmax_age: 1\r\n\r\n", "x:\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePolicy(b)
		if err != nil {
			if !errors.Is(err, ErrPolicy) || p.Mode != ModeUnknown {
				t.Fatal(p, err)
			}
			return
		}
		if p.Mode == ModeUnknown || p.Mode != ModeNone && len(p.MX) == 0 || len(p.MX) > MaxPatterns || p.MaxAge < 0 || p.MaxAge > MaxAge {
			t.Fatalf("%+v", p)
		}
		back, err := ParsePolicy([]byte(p.String()))
		if err != nil || fmt.Sprint(back) != fmt.Sprint(p) {
			t.Fatalf("%v became %v: %v", p, back, err)
		}
	})
}

func FuzzEntry(f *testing.F) {
	p, _ := ParsePolicy([]byte(goodPolicy))
	f.Add(entry{policy: p, id: "1", fetched: time.Unix(1, 0), used: time.Unix(2, 0)}.encode())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntry(b)
		if err != nil {
			return
		}
		if back, err := decodeEntry(e.encode()); err != nil || fmt.Sprint(back) != fmt.Sprint(e) {
			t.Fatalf("%v became %v: %v", e, back, err)
		}
	})
}

func name(t interface{ Fatal(...any) }, s string) dnsx.Name {
	n, err := dnsx.ParseName(s)
	check(t, err)
	return n
}

func check(t interface{ Fatal(...any) }, err error) {
	if err != nil {
		t.Fatal(err)
	}
}
