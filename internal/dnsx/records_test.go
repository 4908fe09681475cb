package dnsx

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

const digest = "0d6fce3c20d1d7a4f1b1a2c5f8e5b1f8d7b4c3f2e1d0c9b8a7968574635241ff"

var moreRecords = map[string][]string{
	"TXT t.test.":      {`t.test. 60 TXT "v=STSv1; " "id=1;"`, `t.test. 60 TXT "a\009\"b\\"`},
	"TXT a.test.":      {"a.test. 60 CNAME b.test.", "b.test. 60 CNAME t.test.", `t.test. 60 TXT "x"`},
	"TLSA _25.t.test.": {"_25.t.test. 60 TLSA 3 1 1 " + digest, "_25.t.test. 60 TLSA 2 0 0 00ff"},
	"CNAME a.test.":    {"a.test. 60 CNAME b.test."},
	"CNAME t.test.":    nil,
	"CNAME two.test.":  {"two.test. 60 CNAME a.test.", "two.test. 60 CNAME b.test."},
	"A a.test.":        {"a.test. 60 CNAME t.test.", "t.test. 60 A 192.0.2.1"},
	"AAAA a.test.":     nil,
	"PTR 1.2.0.192.in-addr.arpa.": {"1.2.0.192.in-addr.arpa. 60 CNAME 1.0-127.2.0.192.in-addr.arpa.",
		"1.0-127.2.0.192.in-addr.arpa. 60 PTR Host.Test.", `1.0-127.2.0.192.in-addr.arpa. 60 PTR b\032d.test.`, "1.0-127.2.0.192.in-addr.arpa. 60 PTR two.test."},
	"PTR 2.2.0.192.in-addr.arpa.": nil,
	"PTR 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.": {
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 60 PTR six.test."},
}

// The names of an address are found by either family, along an alias as RFC 2317
// makes them, whatever octets they hold: who reads them judges.
func TestPointers(t *testing.T) {
	c := client(t, quick(), serve(t, zone(moreRecords)))
	for ip, want := range map[string]string{
		"192.0.2.1": `host.test b\ d.test two.test`, "::ffff:192.0.2.1": `host.test b\ d.test two.test`, "2001:db8::1": "six.test", "192.0.2.2": "",
	} {
		a, err := c.Pointers(t.Context(), netip.MustParseAddr(ip))
		var got []string
		for _, n := range a.Data {
			got = append(got, n.String())
		}
		if strings.Join(got, " ") != want || (want == "") != errors.Is(err, ErrNoData) {
			t.Errorf("%s: %v %v, want %s", ip, got, err, want)
		}
	}
	if _, err := c.Pointers(t.Context(), netip.Addr{}); !errors.Is(err, ErrBadName) {
		t.Error(err)
	}
	fake := &Fake{Names: map[string][]string{"192.0.2.1": {"host.test"}}}
	if a, err := fake.Pointers(t.Context(), netip.MustParseAddr("192.0.2.1")); err != nil || a.Data[0].String() != "host.test" {
		t.Errorf("%v %v", a, err)
	}
	if _, err := fake.Pointers(t.Context(), netip.MustParseAddr("192.0.2.2")); !errors.Is(err, ErrNoName) {
		t.Error(err)
	}
}

func TestTextsAssociationsAndAliases(t *testing.T) {
	c := client(t, quick(), serve(t, zone(moreRecords)))
	txt, err := c.TXT(t.Context(), name(t, "t.test"))
	check(t, err)
	if fmt.Sprintf("%q", txt.Data) != `["v=STSv1; id=1;" "a\t\"b\\"]` || txt.Name.String() != "t.test" {
		t.Errorf("%+v", txt)
	}
	if txt, err = c.TXT(t.Context(), name(t, "a.test")); err != nil || txt.Data[0] != "x" || txt.Name.String() != "t.test" {
		t.Errorf("%+v %v", txt, err)
	}
	tlsa, err := c.TLSA(t.Context(), name(t, "_25.t.test"))
	check(t, err)
	if len(tlsa.Data) != 2 || tlsa.Data[0].String() != "3 1 1 "+digest || tlsa.Data[1].Data != "\x00\xff" {
		t.Errorf("%v", tlsa.Data)
	}
	alias, err := c.Alias(t.Context(), name(t, "a.test"))
	if err != nil || alias.Data[0].String() != "b.test" {
		t.Errorf("%v %v", alias, err)
	}
	if _, err := c.Alias(t.Context(), name(t, "t.test")); !errors.Is(err, ErrNoData) {
		t.Error(err)
	}
	if _, err := c.Alias(t.Context(), name(t, "two.test")); Permanent(err) || err == nil {
		t.Error(err)
	}
	addrs, err := c.Addresses(t.Context(), name(t, "a.test"))
	if err != nil || addrs.Name.String() != "t.test" {
		t.Errorf("%+v %v", addrs, err)
	}
}

// The fake follows aliases as the client does.
func TestFakeKnowsTextsAssociationsAndAliases(t *testing.T) {
	fake := &Fake{
		Signed: true, Unsigned: map[string]bool{"open.test": true},
		Texts: map[string][]string{"t.test": {"x"}, "open.test": {"y"}}, TLSAs: map[string][]TLSA{"_25.t.test": {{Usage: 3, Data: "d"}}},
		Aliases: map[string]string{"a.test": "t.test", "b.test": "open.test"},
	}
	for n, want := range map[string]string{"a.test": "x t.test true", "b.test": "y open.test false"} {
		a, err := fake.TXT(t.Context(), name(t, n))
		if got := fmt.Sprint(strings.Join(a.Data, ","), " ", a.Name.String(), " ", a.Secure); err != nil || got != want {
			t.Errorf("%s: %s %v", n, got, err)
		}
		alias, err := fake.Alias(t.Context(), name(t, n))
		if err != nil || !alias.Secure || alias.Data[0].String() != fake.Aliases[n] {
			t.Errorf("%s: %+v %v", n, alias, err)
		}
	}
	if a, err := fake.TLSA(t.Context(), name(t, "_25.t.test")); err != nil || a.Data[0].Data != "d" {
		t.Error(a, err)
	}
	var q *LookupError
	if _, err := fake.TLSA(t.Context(), name(t, "t.test")); !errors.As(err, &q) || !errors.Is(err, ErrNoData) || !q.Secure {
		t.Error(err)
	}
}

// Whatever octets a text holds, they come through.
func TestTextsComeThroughWhole(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 255), 1, 4).Draw(r, "parts")
		var rdata, want []byte
		for _, p := range parts {
			rdata = append(append(rdata, byte(len(p))), p...)
			want = append(want, p...)
		}
		wire := append([]byte{0, 0, 16, 0, 1, 0, 0, 0, 60, byte(len(rdata) >> 8), byte(len(rdata))}, rdata...)
		rr, _, err := dns.UnpackRR(wire, 0)
		if err != nil {
			r.Fatal(err)
		}
		if got := readTXT(rr.(*dns.TXT)); got != string(want) {
			r.Fatalf("%q became %q", want, got)
		}
	})
}

// Answers to the other questions hold what was asked for and nothing else.
func FuzzReadRecords(f *testing.F) {
	types := []uint16{dns.TypeTXT, dns.TypeTLSA, dns.TypeCNAME}
	for key, records := range moreRecords {
		rtype, owner, _ := strings.Cut(key, " ")
		q := new(dns.Msg)
		q.SetQuestion(owner, dns.StringToType[rtype])
		q.Id = 7
		for i, known := range types {
			if known == q.Question[0].Qtype {
				f.Add(byte(i), pack(reply(q, records...)))
			}
		}
	}
	l := DefaultLimits()
	f.Fuzz(func(t *testing.T, kind byte, wire []byte) {
		asked := question{Name{"t.test"}, types[int(kind)%len(types)]}
		if !answers(wire, 7, asked) {
			return
		}
		a := readAnswer(wire, asked, l)
		if (a.err == nil) == a.empty() || len(a.mx)+len(a.addrs) > 0 || len(a.txt)+len(a.tlsa) > l.Records {
			t.Fatalf("%+v", a)
		}
		if len(a.txt) > 0 && asked.rtype != dns.TypeTXT || len(a.tlsa) > 0 && asked.rtype != dns.TypeTLSA || !a.alias.IsZero() && asked.rtype != dns.TypeCNAME {
			t.Fatalf("%s: %+v", asked, a)
		}
	})
}
