package mx

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
)

func newID(t testing.TB) mail.ID {
	t.Helper()
	id, err := mail.NewID(time.Now(), rand.Reader)
	check(t, err)
	return id
}

func records(t testing.TB, texts ...string) (out []dnsx.MX) {
	t.Helper()
	for _, s := range texts {
		var preference uint16
		var name string
		if _, err := fmt.Sscan(s, &preference, &name); err != nil {
			t.Fatal(err)
		}
		mx, err := dnsx.Exchanger(preference, name)
		if err != nil {
			mx = dnsx.MX{Preference: preference, Text: name} // a name that no host has
		}
		out = append(out, mx)
	}
	return out
}

// show writes a plan as "a b | c", the hosts of one preference sorted.
func show(p plan) string {
	var groups []string
	for _, g := range p {
		var names []string
		for _, h := range g {
			names = append(names, strings.TrimSuffix(h.text(), ".test"))
		}
		slices.Sort(names)
		groups = append(groups, strings.Join(names, " "))
	}
	return strings.Join(groups, " | ")
}

func TestPlans(t *testing.T) {
	own := []dnsx.Name{records(t, "0 us.test")[0].Host, records(t, "0 alias.test")[0].Host}
	for given, want := range map[string]string{
		"10 a.test":                      "a",
		"20 b.test,10 a.test,30 c.test":  "a | b | c",
		"10 b.test,10 a.test,5 c.test":   "c | a b",
		"10 a.test,20 a.test,20 b.test":  "a | b",
		"20 a.test,10 a.test,20 b.test":  "a | b",
		"65535 a.test,0 b.test":          "b | a",
		"0 .":                            "556 5.1.10",
		"10 .":                           "556 5.1.10",
		"0 .,10 .":                       "556 5.1.10",
		"0 .,10 a.test":                  "a",
		"10 us.test":                     "554 5.4.6",
		"10 alias.test":                  "554 5.4.6",
		"10 US.test":                     "554 5.4.6",
		"10 us.test,10 a.test":           "554 5.4.6",
		"10 us.test,20 a.test":           "554 5.4.6",
		"0 .,10 us.test":                 "554 5.4.6",
		"10 a.test,20 us.test,30 b.test": "a",
		"10 a.test,20 us.test,15 alias.test,15 b.test":   "a",
		"65535 us.test,65535 a.test,1 b.test":            "b",
		"10 a*b":                                         "550 5.4.4",
		"10 a*b,20 us.test":                              "550 5.4.4",
		"10 a*b,20 a.test":                               "a",
		"1 a.test,2 b.test,3 c.test,4 d.test,5 e.test":   "a | b | c | d | e",
		"1 a.test,1 b.test,1 c.test,1 us2.test,2 e.test": "a b c us2 | e",
	} {
		p, r := exchangers(records(t, strings.Split(given, ",")...), own, newID(t))
		got := show(p)
		if !r.IsZero() {
			got = fmt.Sprintf("%d %s", r.Code, r.Enhanced)
		}
		if got != want || (len(p) > 0) == !r.IsZero() {
			t.Errorf("%s: %s (%s), want %s", given, got, r, want)
		}
	}
}

// A resolver that breaks its promise loses no mail.
func TestNoRecordsAreNoVerdict(t *testing.T) {
	if p, r := exchangers(nil, nil, newID(t)); p != nil || r.Class() != mail.ClassTransient {
		t.Errorf("%v, %s", p, r)
	}
}

// Equal hosts share the mail evenly, and one message always goes the same way.
func TestEqualPreferenceIsShared(t *testing.T) {
	mxs := records(t, "10 a.test", "10 b.test", "10 c.test")
	firsts := map[string]int{}
	for range 3000 {
		id := newID(t)
		p, _ := exchangers(mxs, nil, id)
		again, _ := exchangers([]dnsx.MX{mxs[2], mxs[0], mxs[1]}, nil, id)
		if fmt.Sprint(p) != fmt.Sprint(again) {
			t.Fatal("one message goes two ways")
		}
		firsts[p[0][0].text()]++
	}
	for host, n := range firsts {
		if n < 850 || n > 1150 { // six standard deviations
			t.Errorf("%s comes first %d times of 3000", host, n)
		}
	}
}

// Whatever the records: no host twice, none that is no better than us, and the better
// preference first.
func TestPlansKeepTheRules(t *testing.T) {
	own := records(t, "0 us.test")[0].Host
	rapid.Check(t, func(rt *rapid.T) {
		texts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf("%d %s", rapid.IntRange(0, 5).Draw(t, "preference"),
				rapid.SampledFrom([]string{"a.test", "b.test", "c.test", "d.test", "us.test", ".", "x*y"}).Draw(t, "host"))
		}), 1, 12).Draw(rt, "records")
		mxs := records(t, texts...)
		best := map[string]int{}
		for _, m := range mxs {
			if p, ok := best[m.Host.String()]; !ok || int(m.Preference) < p {
				best[m.Host.String()] = int(m.Preference)
			}
		}
		p, r := exchangers(mxs, []dnsx.Name{own}, newID(t))
		if r.IsZero() == (len(p) == 0) || !r.IsZero() && r.Class() != mail.ClassPermanent {
			rt.Fatalf("%v, %v", p, r)
		}
		seen, last := map[string]bool{}, -1
		for _, g := range p {
			for _, h := range g {
				name := h.text()
				ours, loop := best["us.test"]
				if seen[name] || name == "" || loop && best[name] >= ours || best[name] != best[g[0].text()] || best[name] <= last {
					rt.Fatalf("%s in %v of %v", name, p, texts)
				}
				seen[name] = true
			}
			last = best[g[0].text()]
		}
	})
}

// Both families in turn, none lost, none twice, no more than the limit.
func TestAddressesAreSpread(t *testing.T) {
	parse := func(texts ...string) (out []netip.Addr) {
		for _, s := range texts {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	v4 := parse("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
	v6 := parse("2001:db8::1", "2001:db8::2")
	starts := map[bool]int{}
	for range 200 {
		got := spread(slices.Concat(v4, v6), newID(t), 5)
		if len(got) != 5 || got[0].Is4() == got[1].Is4() || got[2].Is4() == got[3].Is4() {
			t.Fatal(got)
		}
		for i, ip := range got {
			if slices.Contains(got[:i], ip) {
				t.Fatal(got)
			}
		}
		starts[got[0].Is4()]++
	}
	if starts[true] < 50 || starts[false] < 50 {
		t.Errorf("IPv4 first %d times, IPv6 %d times", starts[true], starts[false])
	}
	for _, only := range [][]netip.Addr{v4, v6, nil} {
		if got := spread(only, newID(t), 9); len(got) != len(only) {
			t.Error(got)
		}
	}
}
