package dmarc

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/auth/dmarc"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/reports/daily"
	"sallyport/internal/reports/format"
	"sallyport/internal/store/mem"
)

func place(t testing.TB, domain, text string) dmarc.Place {
	t.Helper()
	d, err := mail.ParseDomain(domain)
	rec, ok := dmarc.Parse(text)
	if err != nil || !ok {
		t.Fatal(domain, text, err)
	}
	return dmarc.Place{Domain: d, Record: rec}
}

func row(source string) format.Record {
	return format.Record{Row: format.Row{Source: source, Count: 1, Evaluated: format.Evaluated{Disposition: "none", DKIM: "fail", SPF: "fail"}}, Identifiers: format.Identifiers{HeaderFrom: "x.test"}}
}

func counted(t tally) int {
	n := t.Lost
	for _, r := range t.Rows {
		n += r.Row.Count
	}
	return n
}

// What is counted survives a restart, is parted by UTC days, and is bounded.
func TestCollecting(t *testing.T) {
	st := mem.New()
	t.Cleanup(func() { st.Close() })
	now := time.Date(2026, 3, 1, 23, 59, 0, 0, time.FixedZone("", -5*3600)) // the 2nd in UTC
	l := DefaultLimits()
	l.Domains, l.Rows, l.Fresh = 3, 2, 5
	collector := func() *Collector {
		return NewCollector(st, l, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	}
	c := collector()
	add := func(d, source string) { c.Add(place(t, d, "v=DMARC1; p=none; rua=mailto:a@"+d), row(source)) }
	add("a.test", "192.0.2.1")
	c.Flush(t.Context())
	c = collector() // a restart
	for _, ip := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"} {
		add("a.test", ip)
	}
	add("b.test", "192.0.2.1")
	c.Add(place(t, "quiet.test", "v=DMARC1; p=none"), row("192.0.2.1"))
	c.Add(place(t, "web.test", "v=DMARC1; p=none; rua=https://web.test/"), row("192.0.2.1"))
	c.Flush(t.Context())
	for _, d := range []string{"c.test", "d.test", "e.test"} {
		add(d, "192.0.2.1")
		c.Flush(t.Context())
	}
	list := func() (out []string) {
		all, err := c.over(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range all {
			v, err := c.load(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%s %s %d of %d", w.day.Format(dayFormat), w.domain.ASCII(), len(v.Rows), counted(v)))
		}
		return out
	}
	if got := list(); len(got) != 0 {
		t.Errorf("the day is not over: %q", got)
	}
	now = now.Add(24 * time.Hour)
	if got := list(); !slices.Equal(got, []string{"2026-03-02 a.test 2 of 5", "2026-03-02 b.test 1 of 1", "2026-03-02 c.test 1 of 1"}) {
		t.Errorf("%q", got)
	}
	l.DayOctets = 10
	c = collector()
	add("f.test", "192.0.2.1")
	c.Flush(t.Context())
	now = now.Add(24 * time.Hour)
	if got := list(); len(got) != 3 {
		t.Errorf("a full day took more: %q", got)
	}
}

// However messages are cut into tallies that are merged, every one is counted once: in
// a row, or as one that found none.
func TestEveryMessageIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		all := rapid.SliceOfN(rapid.IntRange(1, 9), 0, 60).Draw(r, "sources")
		whole, n := tally{}, 0
		for len(all) > 0 {
			k := rapid.IntRange(1, len(all)).Draw(r, "part")
			var part tally
			for _, s := range all[:k] {
				part.add(row(fmt.Sprintf("192.0.2.%d", s)), 5)
			}
			whole.merge(part, 5)
			all, n = all[k:], n+k
			if counted(whole) != n || len(whole.Rows) > 5 {
				r.Fatalf("%d messages are %d in %d rows", n, counted(whole), len(whole.Rows))
			}
		}
	})
}

// Reports go to those who ask for them, and nobody can be made to get another's.
// RFC 9990 §4.
func TestDestinations(t *testing.T) {
	const hostile = "v=DMARC1; p=none; rua=mailto:victim@bank.test!10g"
	dns := &dnsx.Fake{Texts: map[string][]string{
		"_dmarc.own.test": {"v=DMARC1; p=none; rua=mailto:a@own.test"}, "_dmarc.sub.test": {"v=DMARC1; p=none; rua=mailto:a@mail.sub.test"},
		"_dmarc.evil.test": {hostile + strings.Repeat(",mailto:victim@bank.test", 1000)},
		"_dmarc.yes.test":  {"v=DMARC1; p=none; rua=mailto:a@service.test"}, "yes.test._report._dmarc.service.test": {"junk", "v=DMARC1;"},
		"_dmarc.no.test": {"v=DMARC1; p=none; rua=mailto:a@service.test"}, "no.test._report._dmarc.service.test": {"v=spf1 -all"},
		"_dmarc.moved.test": {"v=DMARC1; p=none; rua=mailto:a@service.test"}, "moved.test._report._dmarc.service.test": {"v=DMARC1; rua=mailto:b@service.test"},
		"_dmarc.led.test": {"v=DMARC1; p=none; rua=mailto:a@service.test"}, "led.test._report._dmarc.service.test": {"v=DMARC1; rua=mailto:b@bank.test"},
		"_dmarc.many.test": {"v=DMARC1; p=none; rua=mailto:a@many.test,mailto:a@many.test,https://many.test/,mailto:b@many.test,mailto:c@many.test"},
		"_dmarc.odd.test":  {"v=DMARC1; p=none; rua=mailto:%0d%0a@odd.test,mailto:a@[192.0.2.1],mailto:,mailto:a%2bb@odd.test?subject=x"},
		"_dmarc.two.test":  {"v=DMARC1; p=none; rua=mailto:a@two.test", "v=DMARC1; p=none; rua=mailto:a@two.test"},
		"_dmarc.wait.test": {"v=DMARC1; p=none; rua=mailto:a@slow.test"},
	}, Failures: map[string]error{"TXT wait.test._report._dmarc.slow.test": dnsx.ErrTimeout}}
	r := &Reporter{Resolver: dns, Limits: DefaultLimits()}
	for about, want := range map[string]string{
		"own.test": "[a@own.test]", "sub.test": "[a@mail.sub.test]", "evil.test": "[]", "yes.test": "[a@service.test]", "no.test": "[]", "moved.test": "[b@service.test]",
		"led.test": "[]", "many.test": "[a@many.test b@many.test]", "odd.test": "[a+b@odd.test]", "two.test": "[]", "gone.test": "[]", "wait.test": "later",
	} {
		d, err := mail.ParseDomain(about)
		if err != nil {
			t.Fatal(err)
		}
		to, err := r.destinations(t.Context(), d)
		got := fmt.Sprint(to)
		if err != nil {
			got = "later"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", about, got, want)
		}
	}
}

// Whatever stands in a record, an address of it is one that mail can go to.
func FuzzAddresses(f *testing.F) {
	for _, s := range []string{"mailto:a@x.test", "MAILTO:a%40x.test", "mailto:%00@x.test", "https://x.test/", "mailto:a@[IPv6:::1]?x", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		for _, a := range addresses([]string{uri}) {
			if a.Domain().IsZero() || strings.ContainsAny(a.String(), "\r\n\x00") {
				t.Fatalf("%q", a)
			}
		}
	})
}

// A report keeps to its size: the rarest rows are left out of a larger one, never the
// commonest, and one that is too large with a single row is none.
func TestReportsKeepToTheirSize(t *testing.T) {
	var day tally
	for i := range 400 {
		r := row(fmt.Sprintf("2001:db8:%x:%x::%x", i*7919%65536, i*104729%65536, i*1299709%65536))
		r.Row.Count = 1 + i
		day.Rows = append(day.Rows, r)
	}
	d := place(t, "x.test", "v=DMARC1; p=none").Domain
	r := &Reporter{Mail: new(daily.Sender), Organisation: "Local", Octets: 4096, Logger: slog.New(slog.DiscardHandler)}
	w := waiting{key: "k", day: time.Unix(1_700_000_000, 0).UTC(), domain: d}
	m, err := r.build(w, day)
	if err != nil {
		t.Fatal(err)
	}
	gz := m.Parts[len(m.Parts)-1].Data
	z, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil || len(gz) > 4096 {
		t.Fatalf("%d octets, %v", len(gz), err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range day.Rows {
		found := strings.Contains(string(text), "<count>"+fmt.Sprint(r.Row.Count)+"</count>")
		if i == len(day.Rows)-1 && !found || i == 0 && found {
			t.Errorf("the row of %d messages is there: %v", r.Row.Count, found)
		}
	}
	r.Octets = 100
	if _, err := r.build(w, day); err == nil || !strings.Contains(err.Error(), "dmarc_report.size") {
		t.Errorf("a single row that is too large: %v", err)
	}
}
