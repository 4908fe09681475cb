package spf_test

import (
	"testing"

	"sallyport/internal/auth/spf"
	"sallyport/internal/dnsx"
	"sallyport/internal/dnsx/dnstest"
)

// Everything that the DNS can hold or fail to say, over a real server.
func TestOverTheDNS(t *testing.T) {
	zone, err := dnstest.NewZone(
		// Only the family that matters is asked for. RFC 7208 §5.
		`a.test. TXT "v=spf1 a:h.a.test -all"`, "SERVFAIL A h.a.test.", "h.a.test. AAAA 2001:db8::1",
		`six.test. TXT "v=spf1 a:h.six.test -all"`, "h.six.test. A 192.0.2.1", "SERVFAIL AAAA h.six.test.",
		`gone.test. TXT "v=spf1 a:h.gone.test -all"`, "h.gone.test. TXT there", "SERVFAIL AAAA h.gone.test.",
		`gone6.test. TXT "v=spf1 a:h.gone6.test -all"`, "h.gone6.test. TXT there", "SERVFAIL A h.gone6.test.",
		`mx.test. TXT "v=spf1 mx -all"`, "mx.test. MX 1 h.a.test.",
		`mx6.test. TXT "v=spf1 mx -all"`, "mx6.test. MX 1 h.six.test.",
		`mxgone.test. TXT "v=spf1 mx -all"`, "mxgone.test. MX 1 h.gone.test.",
		`exists.test. TXT "v=spf1 exists:h.six.test -all"`,
		// Names that macros make.
		`macro.test. TXT "v=spf1 exists:%{l}._u.macro.test -all"`, `joe+news._u.macro.test. A 127.0.0.2`, `joe\ x\@y\\\195\188\000z._u.macro.test. A 127.0.0.2`,
		`hello.test. TXT "v=spf1 include:%{i}._ip.%{h}._ehlo.%{d}._spf.v.test -all"`, `192.0.2.1._ip.[192.0.2.1]._ehlo.hello.test._spf.v.test. TXT "v=spf1 +all"`,
		// Names of exchangers that no host has.
		`under.test. TXT "v=spf1 mx:_mx.under.test mx:a-.under.test mx:a+b.under.test -all"`, "_mx.under.test. MX 1 _h.under.test.", "_h.under.test. A 192.0.2.2",
		"a-.under.test. MX 1 h-.under.test.", "h-.under.test. A 192.0.2.3", "a+b.under.test. MX 1 c+d.under.test.", "c+d.under.test. A 192.0.2.4",
		// Aliases. RFC 2317.
		`alias.test. TXT "v=spf1 a:www.alias.test redirect=_spf.alias.test"`, "www.alias.test. CNAME a+b.alias.test.", "a+b.alias.test. A 192.0.2.5",
		"_spf.alias.test. CNAME p/q.alias.test.", `p/q.alias.test. TXT "v=spf1 ip4:192.0.2.6 -all"`,
		`ptr.test. TXT "v=spf1 ptr -all"`, "7.2.0.192.in-addr.arpa. CNAME 7.0/25.2.0.192.in-addr.arpa.", "7.0/25.2.0.192.in-addr.arpa. PTR h.ptr.test.", "h.ptr.test. CNAME x+y.ptr.test.", "x+y.ptr.test. A 192.0.2.7",
		`8.2.0.192.in-addr.arpa. PTR x\+z.ptr.test.`, "x+z.ptr.test. A 192.0.2.8",
		`nowhere.test. TXT "v=spf1 a:dot.nowhere.test mx ?all"`, "nowhere.test. MX 1 dot.nowhere.test.", "dot.nowhere.test. CNAME .",
		// A null MX is an answer; what is no answer counts. RFC 7208 §4.6.4.
		`null.test. TXT "v=spf1 mx mx:null.test mx:null.test -all"`, "null.test. MX 0 .",
		`void.test. TXT "v=spf1 a:v1.void.test a:v2.void.test a:v3.void.test -all"`,
		`odd.test. TXT "v=spf1 exists:%{l-}.odd.test -all"`, "a.b.odd.test. A 127.0.0.2",
	)
	if err != nil {
		t.Fatal(err)
	}
	client := client(t, dnsx.DefaultLimits(), dnstest.Serve(t, zone.Play))
	for _, c := range []struct {
		ip, sender string
		want       spf.Verdict
	}{
		{"192.0.2.1", "x@a.test", spf.TempError}, {"2001:db8::1", "x@a.test", spf.Pass}, {"2001:db8::2", "x@a.test", spf.Fail},
		{"2001:db8::1", "x@six.test", spf.TempError}, {"192.0.2.1", "x@six.test", spf.Pass}, {"192.0.2.2", "x@six.test", spf.Fail},
		{"192.0.2.1", "x@gone.test", spf.Fail}, {"2001:db8::1", "x@gone.test", spf.TempError},
		{"192.0.2.1", "x@gone6.test", spf.TempError}, {"2001:db8::1", "x@gone6.test", spf.Fail},
		{"192.0.2.1", "x@mx.test", spf.TempError}, {"2001:db8::1", "x@mx.test", spf.Pass},
		{"2001:db8::1", "x@mx6.test", spf.TempError}, {"192.0.2.1", "x@mx6.test", spf.Pass},
		{"192.0.2.1", "x@mxgone.test", spf.Fail}, {"2001:db8::1", "x@mxgone.test", spf.TempError},
		{"2001:db8::9", "x@exists.test", spf.Pass},
		{"192.0.2.1", "joe+news@macro.test", spf.Pass}, {"192.0.2.1", "joe x\x40y\\ü\x00z@macro.test", spf.Pass}, {"192.0.2.1", "joe@macro.test", spf.Fail},
		{"192.0.2.1", "x@hello.test", spf.Pass},
		{"192.0.2.2", "x@under.test", spf.Pass}, {"192.0.2.3", "x@under.test", spf.Pass}, {"192.0.2.4", "x@under.test", spf.Pass}, {"192.0.2.5", "x@under.test", spf.Fail},
		{"192.0.2.5", "x@alias.test", spf.Pass}, {"192.0.2.6", "x@alias.test", spf.Pass}, {"192.0.2.7", "x@alias.test", spf.Fail},
		{"192.0.2.7", "x@ptr.test", spf.Pass}, {"192.0.2.8", "x@ptr.test", spf.Pass}, {"192.0.2.9", "x@ptr.test", spf.Fail},
		{"192.0.2.1", "x@nowhere.test", spf.Neutral},
		{"192.0.2.1", "x@null.test", spf.Fail}, {"192.0.2.1", "x@void.test", spf.PermError},
		{"192.0.2.1", "a-b@odd.test", spf.Pass}, {"192.0.2.1", "a--b@odd.test", spf.Fail},
	} {
		q := query(c.ip, "x@y.test")
		at := len(c.sender) - 1
		for c.sender[at] != '@' {
			at--
		}
		q.Local, q.Domain, q.Hello = c.sender[:at], c.sender[at+1:], "["+c.ip+"]"
		if r := spf.Check(t.Context(), spf.FromDNS(client), q, spf.DefaultLimits()); r.Verdict != c.want {
			t.Errorf("%q from %s: %v by %q (%v), want %v", c.sender, c.ip, r.Verdict, r.Mechanism, r.Err, c.want)
		}
	}
}
