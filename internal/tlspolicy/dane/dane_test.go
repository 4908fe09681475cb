package dane

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/dnsx"
	"sallyport/internal/tlspolicy/policytest"
)

// record makes the record of a certificate.
func record(c *x509.Certificate, usage, selector, matching uint8) dnsx.TLSA {
	data := c.Raw
	if selector == SelectorSPKI {
		data = c.RawSubjectPublicKeyInfo
	}
	switch matching {
	case MatchSHA256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case MatchSHA512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return dnsx.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: string(data)}
}

func chainOf(t testing.TB, a *policytest.Authority, l policytest.Leaf) (chain []*x509.Certificate) {
	t.Helper()
	c, err := a.Issue(l)
	check(t, err)
	for _, der := range c.Certificate {
		cert, err := x509.ParseCertificate(der)
		check(t, err)
		chain = append(chain, cert)
	}
	return chain
}

// Every usage, selector and matching type, with the right certificate, another one,
// another name and one that is over. RFC 6698 §2.1, RFC 7672 §3.
func TestVerification(t *testing.T) {
	ca, err := policytest.NewAuthority()
	check(t, err)
	other, err := policytest.NewAuthority()
	check(t, err)
	names := []string{"mx.x.test", "x.test"}
	good := policytest.Leaf{Names: []string{"mx.x.test"}}
	right, again := chainOf(t, ca, good), chainOf(t, ca, good)
	stranger := chainOf(t, other, good)
	old := chainOf(t, ca, policytest.Leaf{Names: good.Names, Expired: true})
	misnamed := chainOf(t, ca, policytest.Leaf{Names: []string{"mx.evil.test"}})
	byDomain := chainOf(t, ca, policytest.Leaf{Names: []string{"x.test"}})
	wild := chainOf(t, ca, policytest.Leaf{Names: []string{"*.x.test"}})
	alone := chainOf(t, ca, policytest.Leaf{Names: good.Names, Alone: true})
	for _, selector := range []uint8{SelectorCert, SelectorSPKI} {
		for _, matching := range []uint8{MatchFull, MatchSHA256, MatchSHA512} {
			ee, ta := record(right[0], UsageEE, selector, matching), record(ca.Cert, UsageTA, selector, matching)
			full := selector == SelectorCert && matching == MatchFull
			for _, c := range []struct {
				what  string
				rec   dnsx.TLSA
				chain []*x509.Certificate
				want  error
			}{
				{"EE right", ee, right, nil},
				{"EE another key", ee, again, ErrNoMatch},
				{"EE of the authority's certificate", record(ca.Cert, UsageEE, selector, matching), right, ErrNoMatch},
				{"EE ignores the name", record(misnamed[0], UsageEE, selector, matching), misnamed, nil},
				{"EE ignores dates", record(old[0], UsageEE, selector, matching), old, nil},
				{"TA right", ta, right, nil},
				{"TA next-hop domain's name", ta, byDomain, nil},
				{"TA wildcard", ta, wild, nil},
				{"TA another authority", ta, stranger, map[bool]error{true: ErrChain, false: ErrNoMatch}[full]},
				{"TA another name", ta, misnamed, ErrName},
				{"TA expired", ta, old, ErrChain},
				{"TA of a certificate that did not sign", record(other.Cert, UsageTA, selector, matching), append([]*x509.Certificate{right[0]}, other.Cert), ErrChain},
				{"TA not sent", ta, alone, map[bool]error{true: nil, false: ErrNoMatch}[full]},
				{"nothing", ta, nil, ErrNoMatch},
			} {
				s := Usable([]dnsx.TLSA{c.rec})
				if s.Len() != 1 {
					t.Fatalf("%s %d %d is not usable", c.what, selector, matching)
				}
				got, err := s.Verify(c.chain, names, time.Now())
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || err == nil && got != c.rec {
					t.Errorf("%s %d %d: %v, want %v", c.what, selector, matching, err, c.want)
				}
			}
		}
	}
}

// One good record among others is enough: keys are rolled over so. RFC 7671 §8.1.
func TestAnyRecordWillDo(t *testing.T) {
	ca, err := policytest.NewAuthority()
	check(t, err)
	a, b := chainOf(t, ca, policytest.Leaf{Names: []string{"mx.x.test"}}), chainOf(t, ca, policytest.Leaf{Names: []string{"mx.x.test"}})
	s := Usable([]dnsx.TLSA{record(a[0], UsageEE, SelectorSPKI, MatchSHA256), record(b[0], UsageEE, SelectorSPKI, MatchSHA256), record(a[0], 1, 1, 1)})
	for _, chain := range [][]*x509.Certificate{a, b} {
		if _, err := s.Verify(chain, nil, time.Now()); err != nil {
			t.Error(err)
		}
	}
	if s.Len() != 2 || strings.Count(s.String(), "3 1 1 ") != 2 {
		t.Error(s)
	}
}

func TestCommonNameCountsWithoutOthers(t *testing.T) {
	c := &x509.Certificate{}
	c.Subject.CommonName = "MX.x.test"
	if !named(c, []string{"mx.x.test"}) || named(c, []string{"x.test", ""}) {
		t.Error("common name")
	}
	c.DNSNames = []string{"other.test"}
	if named(c, []string{"mx.x.test"}) {
		t.Error("the common name counts beside a DNS name")
	}
}

// RFC 7672 §3.1.3 and RFC 7671 §9: which records count.
func TestUsableRecords(t *testing.T) {
	sum256, sum512 := strings.Repeat("a", 32), strings.Repeat("b", 64)
	rec := func(u, s, m uint8, data string) dnsx.TLSA {
		return dnsx.TLSA{Usage: u, Selector: s, Matching: m, Data: data}
	}
	for _, c := range []struct {
		all  []dnsx.TLSA
		want int
	}{
		{nil, 0},
		{[]dnsx.TLSA{rec(0, 0, 1, sum256), rec(1, 1, 1, sum256), rec(4, 1, 1, sum256), rec(255, 1, 1, sum256)}, 0},
		{[]dnsx.TLSA{rec(3, 2, 1, sum256), rec(3, 1, 3, sum256), rec(3, 1, 1, sum512), rec(3, 1, 2, sum256), rec(3, 1, 1, "")}, 0},
		{[]dnsx.TLSA{rec(3, 0, 0, "no certificate"), rec(2, 1, 0, "no key")}, 0},
		{[]dnsx.TLSA{rec(3, 1, 1, sum256)}, 1},
		{[]dnsx.TLSA{rec(3, 1, 1, sum256), rec(3, 1, 2, sum512)}, 1},                        // the stronger digest
		{[]dnsx.TLSA{rec(3, 1, 1, sum256), rec(3, 0, 2, sum512), rec(2, 1, 2, sum512)}, 3},  // of each usage and selector
		{[]dnsx.TLSA{rec(3, 1, 1, sum256), rec(3, 1, 2, "short"), rec(1, 1, 2, sum512)}, 1}, // what can't be used displaces nothing
	} {
		if got := Usable(c.all).Len(); got != c.want {
			t.Errorf("%v: %d, want %d", c.all, got, c.want)
		}
	}
}

// Whatever the records are: never more than there were, and only such as verify by
// what they name.
func TestUsableNeverInvents(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var all []dnsx.TLSA
		for range rapid.IntRange(0, 8).Draw(r, "n") {
			n := rapid.SampledFrom([]int{0, 31, 32, 33, 64}).Draw(r, "len")
			all = append(all, dnsx.TLSA{Usage: uint8(rapid.IntRange(0, 5).Draw(r, "u")), Selector: uint8(rapid.IntRange(0, 3).Draw(r, "s")),
				Matching: uint8(rapid.IntRange(0, 4).Draw(r, "m")), Data: strings.Repeat("x", n)})
		}
		s := Usable(all)
		has := map[dnsx.TLSA]bool{}
		any := false
		for _, a := range all {
			has[a] = true
			any = any || (a.Usage == 2 || a.Usage == 3) && a.Selector < 2 && (a.Matching == 1 && len(a.Data) == 32 || a.Matching == 2 && len(a.Data) == 64)
		}
		for _, u := range s.records {
			if !has[u] {
				r.Fatalf("%v was not there", u)
			}
		}
		if (s.Len() > 0) != any {
			r.Fatalf("%v: %d usable", all, s.Len())
		}
	})
}

// RFC 7672 §2.2.2 and §2.2.3: which names are asked, and what an answer means.
func TestLookups(t *testing.T) {
	good := dnsx.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: strings.Repeat("a", 32)}
	bad := dnsx.TLSA{Usage: 1, Selector: 1, Matching: 1, Data: good.Data}
	ip := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	for _, c := range []struct {
		what string
		zone func(f *dnsx.Fake)
		want string
	}{
		{"secure records", func(f *dnsx.Fake) { f.TLSAs["_25._tcp.mx.test"] = []dnsx.TLSA{good} }, "verify mx.test"},
		{"none", func(f *dnsx.Fake) {}, "none"},
		{"not signed: not asked", func(f *dnsx.Fake) {
			f.Unsigned["mx.test"] = true
			f.Failures["TLSA _25._tcp.mx.test"] = dnsx.ErrServer
		}, "none"},
		{"records that are not secure", func(f *dnsx.Fake) {
			f.TLSAs["_25._tcp.mx.test"] = []dnsx.TLSA{good}
			f.Unsigned["_25._tcp.mx.test"] = true
		}, "none"},
		{"no usable records", func(f *dnsx.Fake) { f.TLSAs["_25._tcp.mx.test"] = []dnsx.TLSA{bad} }, "encrypt mx.test"},
		{"one usable", func(f *dnsx.Fake) { f.TLSAs["_25._tcp.mx.test"] = []dnsx.TLSA{bad, good} }, "verify mx.test"},
		{"lookup fails", func(f *dnsx.Fake) { f.Failures["TLSA _25._tcp.mx.test"] = dnsx.ErrServer }, "unknown mx.test"},
		{"lookup times out", func(f *dnsx.Fake) { f.Failures["TLSA _25._tcp.mx.test"] = dnsx.ErrTimeout }, "unknown mx.test"},
		{"alias, records at its end", func(f *dnsx.Fake) {
			f.Aliases["mx.test"], f.Hosts = "end.test", map[string][]netip.Addr{"end.test": ip}
			f.TLSAs["_25._tcp.end.test"] = []dnsx.TLSA{good}
		}, "verify end.test"},
		{"alias, records at its start", func(f *dnsx.Fake) {
			f.Aliases["mx.test"], f.Hosts = "end.test", map[string][]netip.Addr{"end.test": ip}
			f.TLSAs["_25._tcp.mx.test"] = []dnsx.TLSA{good}
		}, "verify mx.test"},
		{"alias, records at both", func(f *dnsx.Fake) {
			f.Aliases["mx.test"], f.Hosts = "end.test", map[string][]netip.Addr{"end.test": ip}
			f.TLSAs["_25._tcp.mx.test"], f.TLSAs["_25._tcp.end.test"] = []dnsx.TLSA{good}, []dnsx.TLSA{bad}
		}, "encrypt end.test"},
		{"signed alias into an unsigned zone", func(f *dnsx.Fake) {
			f.Aliases["mx.test"], f.Hosts = "end.test", map[string][]netip.Addr{"end.test": ip}
			f.Unsigned["end.test"] = true
			f.TLSAs["_25._tcp.mx.test"] = []dnsx.TLSA{good}
			f.Failures["TLSA _25._tcp.end.test"] = dnsx.ErrServer
		}, "verify mx.test"},
		{"unsigned alias", func(f *dnsx.Fake) {
			f.Aliases["mx.test"], f.Hosts = "end.test", map[string][]netip.Addr{"end.test": ip}
			f.Unsigned["mx.test"] = true
			f.Failures["TLSA _25._tcp.mx.test"] = dnsx.ErrServer
		}, "none"},
		{"alias lookup fails", func(f *dnsx.Fake) {
			f.Aliases["mx.test"], f.Hosts = "end.test", map[string][]netip.Addr{"end.test": ip}
			f.Unsigned["end.test"] = true
			f.Failures["CNAME mx.test"] = dnsx.ErrTimeout
		}, "unknown mx.test"},
		{"a resolver that does not validate", func(f *dnsx.Fake) {
			f.Signed = false
			f.TLSAs["_25._tcp.mx.test"] = []dnsx.TLSA{good}
		}, "none"},
	} {
		f := &dnsx.Fake{Signed: true, Hosts: map[string][]netip.Addr{"mx.test": ip}, Unsigned: map[string]bool{},
			TLSAs: map[string][]dnsx.TLSA{}, Aliases: map[string]string{}, Failures: map[string]error{}}
		c.zone(f)
		host, err := dnsx.ParseName("mx.test")
		check(t, err)
		addrs, err := f.Addresses(t.Context(), host)
		check(t, err)
		got := Lookup(t.Context(), f, host, addrs, 25)
		text := strings.TrimSpace(fmt.Sprint(map[Kind]string{KindNone: "none", KindVerify: "verify", KindEncrypt: "encrypt", KindUnknown: "unknown"}[got.Kind], " ", got.Base))
		if text != c.want || (got.Kind == KindUnknown) != (got.Err != nil) || (got.Kind == KindVerify) != (got.Set.Len() > 0) {
			t.Errorf("%s: %s (%v), want %s", c.what, text, got.Err, c.want)
		}
	}
}

func FuzzRecords(f *testing.F) {
	ca, err := policytest.NewAuthority()
	check(f, err)
	chain := chainOf(f, ca, policytest.Leaf{Names: []string{"mx.x.test"}})
	for _, r := range []dnsx.TLSA{record(chain[0], 3, 1, 1), record(ca.Cert, 2, 0, 0), record(ca.Cert, 2, 1, 0)} {
		f.Add(r.Usage, r.Selector, r.Matching, []byte(r.Data))
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data []byte) {
		r := dnsx.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: string(data)}
		by, err := Usable([]dnsx.TLSA{r}).Verify(chain, []string{"mx.x.test"}, now)
		if err == nil && (by != r || usage != UsageEE && usage != UsageTA || !matches(r, chain[0]) && !matches(r, chain[1])) {
			t.Fatalf("%v verifies", r)
		}
	})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
