package tls

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
	"sallyport/internal/store/mem"
	"sallyport/internal/tlspolicy"
)

// RFC 8460 §3, each rule.
func TestRecords(t *testing.T) {
	for _, c := range []struct {
		texts []string
		want  string
	}{
		{[]string{"v=TLSRPTv1; rua=mailto:reports@example.com"}, "[mailto:reports@example.com]"},
		{[]string{"v=TLSRPTv1;rua=https://reporting.example.com/v1/tlsrpt"}, "[https://reporting.example.com/v1/tlsrpt]"},
		{[]string{"v=TLSRPTv1; rua=mailto:a@x.test , https://x.test/r ;"}, "[mailto:a@x.test https://x.test/r]"},
		{[]string{"v=TLSRPTv1; rua=mailto:a@x.test,mailto:b@x.test,mailto:c@x.test"}, "[mailto:a@x.test mailto:b@x.test]"}, // two at most
		{[]string{"v=TLSRPTv1; rua=ftp://x.test/,mailto:a@x.test"}, "[mailto:a@x.test]"},
		{[]string{"v=TLSRPTv1; rua=mailto:a%2Bb@x.test?subject=x"}, "[mailto:a+b@x.test]"},
		{[]string{"v=TLSRPTv1; ext=1; rua=mailto:a@x.test"}, "[mailto:a@x.test]"},
		{[]string{"v=TLSRPTv1; rua=mailto:a@x.test; rua=mailto:b@x.test"}, "[mailto:a@x.test]"},
		{[]string{"v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@x.test"}, "[mailto:a@x.test]"},
		{[]string{"v=TLSRPTv1x; rua=mailto:a@x.test"}, "none"},
		{nil, "none"},
		{[]string{"v=TLSRPTv1; rua=mailto:a@x.test", "v=TLSRPTv1; rua=mailto:a@x.test"}, "invalid"},
		{[]string{"v=TLSRPTv1;"}, "invalid"},
		{[]string{"v=TLSRPTv1; rua="}, "invalid"},
		{[]string{"v=TLSRPTv1; rua"}, "invalid"},
		{[]string{"v=TLSRPTv1; rua=mailto:nobody"}, "invalid"},
		{[]string{"v=TLSRPTv1; rua=mailto:a@[192.0.2.1]"}, "invalid"},
		{[]string{"v=TLSRPTv1; rua=http://x.test/"}, "invalid"},
		{[]string{"v=TLSRPTv1; rua=https://user:pass@x.test/"}, "invalid"},
		{[]string{"v=TLSRPTv1; rua=mailto:a@x.test;" + strings.Repeat("x=1;", 400)}, "invalid"},
	} {
		all, err := FindRecord(c.texts)
		got := fmt.Sprint(all)
		if errors.Is(err, ErrNoRecord) {
			got = "none"
		} else if errors.Is(err, ErrRecord) {
			got = "invalid"
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.texts, got, c.want)
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, s := range []string{"v=TLSRPTv1; rua=mailto:a@x.test,https://x.test/y", "v=TLSRPTv1; rua=mailto:%00@x.test", "v=TLSRPTv1;;rua=,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all, err := ParseRecord(s)
		if (err == nil) != (len(all) > 0) || len(all) > MaxDestinations {
			t.Fatal(all, err)
		}
		for _, d := range all {
			if (d.URL == "") == d.Mail.IsZero() || d.URL != "" && !strings.HasPrefix(d.URL, "https://") || strings.ContainsAny(d.String(), "\r\n") {
				t.Fatalf("%q", d)
			}
		}
	})
}

func domain(t interface{ Fatal(...any) }, s string) mail.Domain {
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func genSession(r *rapid.T) tlspolicy.Session {
	s := tlspolicy.Session{
		Domain: domain(r, "x.test"), Kind: rapid.SampledFrom([]tlspolicy.Kind{tlspolicy.KindNone, tlspolicy.KindSTS, tlspolicy.KindTLSA}).Draw(r, "kind"),
		Failure: rapid.SampledFrom([]string{"", "", tlspolicy.ResultNoTLS, tlspolicy.ResultTrust}).Draw(r, "failure"),
		Host:    rapid.SampledFrom([]string{"a.x.test", "b.x.test"}).Draw(r, "host"), Address: netip.MustParseAddr("192.0.2.1"),
	}
	if s.Kind != tlspolicy.KindNone {
		s.Policy = []string{rapid.StringMatching(`[a-l]`).Draw(r, "policy")}
	}
	return s
}

// However sessions are cut into tallies that are merged, every one is counted once:
// as a success, as a failure, or as one that found no room.
func TestEverySessionIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(genSession), 0, 60).Draw(r, "sessions")
		var whole tally
		for len(all) > 0 {
			n := rapid.IntRange(1, len(all)).Draw(r, "part")
			var part tally
			for _, s := range all[:n] {
				part.add(s)
			}
			b, err := part.encode()
			if err != nil {
				r.Fatal(err)
			}
			if part, err = decodeTally(b); err != nil {
				r.Fatal(err)
			}
			before := counted(whole)
			whole.merge(part)
			if counted(whole) != before+n {
				r.Fatalf("%d sessions and %d more are %d", before, n, counted(whole))
			}
			all = all[n:]
		}
		if len(whole.Policies) > maxPolicies {
			r.Fatal("too many policies")
		}
	})
}

func counted(t tally) (n int) {
	n = t.Lost
	for _, p := range t.Policies {
		n += p.Success + p.Failure
		details := 0
		for _, d := range p.Details {
			details += d.Count
		}
		if details > p.Failure {
			return -1
		}
	}
	return n
}

// What is counted survives a restart, is parted by UTC days, and is bounded.
func TestCollecting(t *testing.T) {
	st := mem.New()
	t.Cleanup(func() { st.Close() })
	now := time.Date(2026, 3, 1, 23, 59, 0, 0, time.FixedZone("", -5*3600)) // the 2nd in UTC
	l := DefaultLimits()
	l.Domains = 3
	collector := func() *Collector {
		return NewCollector(st, l, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	}
	c := collector()
	add := func(d string) { c.Add(tlspolicy.Session{Domain: domain(t, d), Kind: tlspolicy.KindNone}) }
	add("a.test")
	c.Flush(t.Context())
	c = collector() // a restart
	add("a.test")
	add("b.test")
	c.Flush(t.Context())
	for _, d := range []string{"c.test", "d.test", "e.test", "f.test"} {
		add(d)
		c.Flush(t.Context())
	}
	c.Add(tlspolicy.Session{Kind: tlspolicy.KindNone}) // of no domain
	list := func() (out []string) {
		err := c.over(t.Context(), func(w waiting) error {
			out = append(out, fmt.Sprintf("%s %s %d", w.day.Format(dayFormat), w.domain.ASCII(), counted(w.tally)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := list(); len(got) != 0 {
		t.Errorf("the day is not over: %q", got)
	}
	now = now.Add(24 * time.Hour)
	add("a.test")
	c.Flush(t.Context())
	if got := list(); !slices.Equal(got, []string{"2026-03-02 a.test 2", "2026-03-02 b.test 1", "2026-03-02 c.test 1"}) {
		t.Errorf("%q", got)
	}
}
