package spf_test

import (
	"testing"

	"sallyport/internal/auth/spf"
	"sallyport/internal/dnsx"
	"sallyport/internal/dnsx/dnstest"
)

// Records as they are found, in the odd forms that RFC 7208 allows, and those that it does
// not.
func TestOddRecords(t *testing.T) {
	records := map[string]string{
		"upper":    `"V=SPF1 IP4:192.0.2.1 A:H.UPPER.TEST -ALL"`,
		"strings":  `"v=spf1 ip4:192." "0.2.1 -a" "ll"`,
		"dots":     `"v=spf1 include:strings.test. -all"`,
		"hostbits": `"v=spf1 ip4:192.0.2.77/24 -all"`,
		"all":      `"v=spf1 +all"`,
		"anyone":   `"v=spf1 ip4:0.0.0.0/0 ip6:::/0 -all"`,
		"blanks":   `"v=spf1   ip4:192.0.2.1   -all  "`,
		"nothing":  `"v=spf1"`,
		"nowhere":  `"v=spf1 redirect=none.test"`,
		"within":   `"v=spf1 include:none.test ip4:192.0.2.1 -all"`,
		"after":    `"v=spf1 -all redirect=all.test"`,
		"loop":     `"v=spf1 include:loop.test -all"`,
		"circle":   `"v=spf1 redirect=circle.test"`,
		"six":      `"v=spf1 ip6:2001:db8::1 ip6:2001:db8:1::/48 ip6:2001:DB8:2:0:0:0:0:1 ip6:::ffff:192.0.2.1 -all"`,
		"sixdots":  `"v=spf1 ip6:2001:db8::192.0.2.1 -all"`,
		"bits":     `"v=spf1 ip4:192.0.2.1/33 -all"`,
		"bits6":    `"v=spf1 ip6:2001:db8::/129 -all"`,
		"short":    `"v=spf1 ip4:192.0.2 -all"`,
		"zeros":    `"v=spf1 ip4:192.0.02.1 -all"`,
		"tab":      "\"v=spf1\tip4:192.0.2.1 -all\"",
		"comma":    `"v=spf1 ip4:192.0.2.1, -all"`,
		"ipv4":     `"v=spf1 ipv4:192.0.2.1 -all"`,
		"unknown":  `"v=spf1 ip4:192.0.2.1 foo=bar -all"`,
		"quoted":   `"\"v=spf1 ip4:192.0.2.1 -all\""`,
		"two":      `"v=spf2.0/pra -all"`,
		"ten":      `"v=spf10 -all"`,
		"dual":     `"v=spf1 a:h.upper.test/24//64 -all"`,
		"exists":   `"v=spf1 exists:%{ir}.%{v}._spf.%{d2} -all"`,
		"percent":  `"v=spf1 exists:%%%_%-.x.test -all"`,
		"badmacro": `"v=spf1 exists:%{x}.test -all"`,
		"barepct":  `"v=spf1 exists:%x.test -all"`,
		"exp":      `"v=spf1 ip4:192.0.2.1 exp=none.test -all"`,
		"ptr":      `"v=spf1 ptr:none.test ip4:192.0.2.1 -all"`,
		"neutral":  `"v=spf1 include:soft.test ?all"`,
		"soft":     `"v=spf1 ~all"`,
	}
	var lines []string
	for name, text := range records {
		lines = append(lines, name+".test. TXT "+text)
	}
	lines = append(lines, "h.upper.test. A 192.0.2.9", "h.upper.test. AAAA 2001:db8:9::1", `1.2.0.192.in-addr._spf.exists.test. A 127.0.0.2`,
		`double.test. TXT "v=spf1 +all"`, `double.test. TXT "v=spf1 -all"`,
		`same.test. TXT "v=spf1 ip4:192.0.2.1 -all"`, `same.test. TXT "v=spf1 ip4:192.0.2.1" " -all"`,
		`beside.test. TXT "v=spf1 ip4:192.0.2.1 -all"`, `beside.test. TXT "google-site-verification=x"`, `beside.test. TXT "v=spf1x"`)
	zone, err := dnstest.NewZone(lines...)
	if err != nil {
		t.Fatal(err)
	}
	client := client(t, dnsx.DefaultLimits(), dnstest.Serve(t, zone.Play))
	for _, c := range []struct {
		ip, name string
		want     spf.Verdict
	}{
		{"192.0.2.1", "upper", spf.Pass}, {"192.0.2.9", "upper", spf.Pass}, {"192.0.2.2", "upper", spf.Fail},
		{"192.0.2.1", "strings", spf.Pass}, {"192.0.2.2", "strings", spf.Fail}, {"192.0.2.1", "dots", spf.Pass},
		{"192.0.2.1", "hostbits", spf.Pass}, {"192.0.3.1", "hostbits", spf.Fail},
		{"203.0.113.1", "all", spf.Pass}, {"203.0.113.1", "anyone", spf.Pass}, {"2001:db8::1", "anyone", spf.Pass},
		{"192.0.2.1", "blanks", spf.Pass}, {"192.0.2.1", "nothing", spf.Neutral},
		{"192.0.2.1", "nowhere", spf.PermError}, {"192.0.2.1", "within", spf.PermError}, {"192.0.2.1", "after", spf.Fail},
		{"192.0.2.1", "loop", spf.PermError}, {"192.0.2.1", "circle", spf.PermError},
		{"2001:db8::1", "six", spf.Pass}, {"2001:db8:1:2::3", "six", spf.Pass}, {"2001:db8:2::1", "six", spf.Pass}, {"2001:db8:3::1", "six", spf.Fail},
		{"2001:db8::c000:201", "sixdots", spf.Pass},
		{"::ffff:192.0.2.1", "upper", spf.Pass},
		{"192.0.2.1", "bits", spf.PermError}, {"192.0.2.1", "bits6", spf.PermError}, {"192.0.2.1", "short", spf.PermError}, {"192.0.2.1", "zeros", spf.PermError},
		{"192.0.2.1", "tab", spf.None}, {"192.0.2.1", "comma", spf.PermError}, {"192.0.2.1", "ipv4", spf.PermError}, {"192.0.2.1", "unknown", spf.Pass},
		{"192.0.2.1", "quoted", spf.None}, {"192.0.2.1", "two", spf.None}, {"192.0.2.1", "ten", spf.None},
		{"192.0.2.200", "dual", spf.Pass}, {"2001:db8:9::2", "dual", spf.Pass}, {"2001:db8:9:1::2", "dual", spf.Fail},
		{"192.0.2.1", "exists", spf.Pass}, {"192.0.2.2", "exists", spf.Fail},
		{"192.0.2.1", "percent", spf.Fail}, {"192.0.2.1", "badmacro", spf.PermError}, {"192.0.2.1", "barepct", spf.PermError},
		{"192.0.2.2", "exp", spf.Fail}, {"192.0.2.1", "ptr", spf.Pass}, {"192.0.2.1", "neutral", spf.Neutral},
		{"192.0.2.1", "double", spf.PermError}, {"192.0.2.1", "beside", spf.Pass},
		{"192.0.2.1", "same", spf.Pass}, // one text that was published twice says one thing
	} {
		q := query(c.ip, "x@"+c.name+".test")
		q.Local, q.Domain, q.Hello = "x", c.name+".test", "h.x.test"
		if got := spf.Check(t.Context(), spf.FromDNS(client), q, spf.DefaultLimits()); got.Verdict != c.want {
			t.Errorf("%s of %s: %v by %q (%v), want %v", c.ip, c.name, got.Verdict, got.Mechanism, got.Err, c.want)
		}
	}
}
