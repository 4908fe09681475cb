package spf_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/auth/spf"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
)

func query(ip, sender string) spf.Query {
	local, domain, _ := strings.Cut(sender, "@")
	return spf.Query{IP: netip.MustParseAddr(ip), Hello: "mail.test", Local: local, Domain: domain, Receiver: "mx.local.test", Now: time.Unix(1_800_000_000, 0)}
}

// A check over our own resolver, with every kind of answer that it can give.
func TestFromDNS(t *testing.T) {
	domain, err := mail.ParseDomain("mail.good.test")
	if err != nil {
		t.Fatal(err)
	}
	host := dnsx.NameOf(domain)
	fake := &dnsx.Fake{
		Texts: map[string][]string{
			"good.test":   {"other", "v=spf1 mx:good.test a:six.test ptr exists:%{l}.ok.test -all"},
			"macro.test":  {"v=spf1 exists:%{l}._spf.%{d} -all"},
			"silent.test": {"v=spf1 include:dead.test -all"},
			"null.test":   {"v=spf1 mx -all"},
		},
		Exchangers: map[string][]dnsx.MX{"good.test": {{Preference: 10, Host: host}}, "null.test": {{Null: true}}},
		Hosts: map[string][]netip.Addr{
			"mail.good.test": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
			"six.test":       {netip.MustParseAddr("2001:db8::6")}, "named.good.test": {netip.MustParseAddr("192.0.2.9")}, "x.ok.test": {netip.MustParseAddr("127.0.0.2")},
		},
		Names:    map[string][]string{"192.0.2.9": {"named.good.test"}, "192.0.2.8": {"named.good.test"}},
		Failures: map[string]error{"TXT dead.test": dnsx.ErrTimeout},
	}
	for _, c := range []struct {
		ip, sender string
		want       spf.Verdict
		mechanism  string
	}{
		{"192.0.2.1", "a@good.test", spf.Pass, "mx:good.test"},
		{"::ffff:192.0.2.1", "a@good.test", spf.Pass, "mx:good.test"},
		{"2001:db8::6", "a@good.test", spf.Pass, "a:six.test"},
		{"192.0.2.9", "a@good.test", spf.Pass, "ptr"},
		{"192.0.2.8", "x@good.test", spf.Pass, "exists:%{l}.ok.test"},
		{"192.0.2.8", "a@good.test", spf.Fail, "-all"},
		// What no name can hold is a name that does not exist.
		{"192.0.2.8", "a b/c@macro.test", spf.Fail, "-all"},
		{"192.0.2.8", "a@null.test", spf.Fail, "-all"},
		{"192.0.2.8", "a@silent.test", spf.TempError, ""},
		{"192.0.2.8", "a@nothing.test", spf.None, ""},
		{"192.0.2.8", "a@localhost", spf.None, ""},
		{"192.0.2.8", "a@[192.0.2.8]", spf.None, ""},
	} {
		r := spf.Check(t.Context(), spf.FromDNS(fake), query(c.ip, c.sender), spf.DefaultLimits())
		if r.Verdict != c.want || r.Mechanism != c.mechanism {
			t.Errorf("%s from %s: %v by %q (%v), want %v by %q", c.sender, c.ip, r.Verdict, r.Mechanism, r.Err, c.want, c.mechanism)
		}
	}
}

// hostile answers every question with a record that asks for as much as it can, and
// counts.
type hostile struct {
	record string
	asked  int
	wide   int
}

func (h *hostile) TXT(context.Context, string) ([]string, error) {
	h.asked++
	return []string{h.record}, nil
}

func (h *hostile) Addresses(context.Context, string, bool) ([]netip.Addr, error) {
	h.asked++
	return []netip.Addr{netip.MustParseAddr("203.0.113.1")}, nil
}

func (h *hostile) MX(context.Context, string) ([]string, error) {
	h.asked++
	return many(h.wide), nil
}

func (h *hostile) PTR(context.Context, netip.Addr) ([]string, error) {
	h.asked++
	return many(h.wide), nil
}

func many(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("h%d.evil.test", i)
	}
	return out
}

// No record makes a check ask more than its bounds admit: of ten terms each, at
// most ten names.
func TestQuestionsAreBounded(t *testing.T) {
	for _, record := range []string{
		"v=spf1 include:%{d} include:%{d} include:%{d} -all",
		"v=spf1 redirect=%{d}",
		"v=spf1" + strings.Repeat(" mx:evil.test", 400),
		"v=spf1" + strings.Repeat(" ptr:other.test", 400),
		"v=spf1" + strings.Repeat(" a:%{p}.%{p}.%{p}.test a:%{p}.test", 200),
		"v=spf1 -all exp=%{p}.%{p}.%{p}.evil.test",
	} {
		for _, wide := range []int{1, 10, 1000} {
			h := &hostile{record: record, wide: wide}
			spf.Check(t.Context(), h, query("192.0.2.1", "a@evil.test"), spf.DefaultLimits())
			if h.asked > 150 {
				t.Errorf("%.60s, %d names: %d questions", record, wide, h.asked)
			}
		}
	}
}

// A resolver that fails makes no statement: the result is an error that passes.
type failing struct{ hostile }

func (failing) TXT(context.Context, string) ([]string, error) { return nil, errors.New("no answer") }

func TestFailureIsNoAnswer(t *testing.T) {
	if r := spf.Check(t.Context(), &failing{}, query("192.0.2.1", "a@evil.test"), spf.DefaultLimits()); r.Verdict != spf.TempError || r.Err == nil {
		t.Errorf("%+v", r)
	}
	if (spf.Result{}).Verdict != spf.None || spf.Verdict(99).String() != "none" {
		t.Error("an unknown verdict says something")
	}
}

// No record makes a check fail in another way than by its verdict, ask without end,
// or pass where the same record with -all at its head would.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{
		"v=spf1 -all", "v=spf1 a/24 mx//64 ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all", "v=spf1 include:%{d2r}.x.test exists:%{ir}.%{v}._spf.%{d} redirect=y.test",
		"v=spf1 ptr ?all exp=%{c}.%{r}.%{t}.test", "v=spf1 a:foo/bar.test/24//64 moo=cow:%{L-_/}", "v=spf1 %%%_%-", "v=spf1 redirect=a redirect=b", "V=SPF1 +ALL",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, record string) {
		h := &hostile{record: record, wide: 3}
		r := spf.Check(t.Context(), h, query("192.0.2.1", "a.b-c@evil.test"), spf.DefaultLimits())
		if h.asked > 150 {
			t.Errorf("%d questions", h.asked)
		}
		if r.Verdict > spf.PermError || (r.Verdict == spf.PermError || r.Verdict == spf.TempError) != (r.Err != nil) && r.Verdict != spf.None {
			t.Errorf("%+v", r)
		}
		if rest, ok := strings.CutPrefix(record, "v=spf1 "); ok && r.Verdict != spf.PermError {
			strict := spf.Check(t.Context(), &hostile{record: "v=spf1 -all " + rest, wide: 3}, query("192.0.2.1", "a.b-c@evil.test"), spf.DefaultLimits())
			if strict.Verdict != spf.Fail {
				t.Errorf("behind -all, %q gives %v", rest, strict.Verdict)
			}
		}
	})
}

// A record of more terms than anybody writes is a fault, not work.
func TestTermsOfARecordAreBounded(t *testing.T) {
	for n, want := range map[int]spf.Verdict{1000: spf.Neutral, 1001: spf.PermError} {
		r := &dnsx.Fake{Texts: map[string][]string{"a.test": {"v=spf1" + strings.Repeat("  ip4:192.0.2.1", n)}}}
		got := spf.Check(t.Context(), spf.FromDNS(r), spf.Query{IP: netip.MustParseAddr("198.51.100.1"), Domain: "a.test"}, spf.DefaultLimits())
		if got.Verdict != want {
			t.Errorf("%d terms: %v, %v", n, got.Verdict, got.Err)
		}
	}
}

// So are macros, of which each may stand for much.
func TestMacrosAreBounded(t *testing.T) {
	for n, want := range map[int]spf.Verdict{50: spf.Neutral, 300: spf.PermError} {
		r := &dnsx.Fake{Texts: map[string][]string{"a.test": {"v=spf1 x=" + strings.Repeat("%{l}.", n)}}}
		got := spf.Check(t.Context(), spf.FromDNS(r), query("198.51.100.1", "u@a.test"), spf.DefaultLimits())
		if got.Verdict != want {
			t.Errorf("%d macros: %v, %v", n, got.Verdict, got.Err)
		}
	}
}
