package dmarc

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/auth/dmarc"
	"sallyport/internal/directory"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/reports/daily"
	"sallyport/internal/reports/format"
	"sallyport/internal/spool"
	"sallyport/internal/store"
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

// told is a form that keeps what it is told.
type told struct{ all map[string]tally }

func (f told) Hand(_ context.Context, d daily.Due, t tally, _ []store.Mutation) (bool, error) {
	f.all[d.Domain.ASCII()] = t
	return true, nil
}

// Whoever asks for reports by mail is counted, with the policy as it was last; kinds of
// messages beyond the bounds of a domain, and of memory, are only counted.
func TestCollecting(t *testing.T) {
	st := mem.New()
	t.Cleanup(func() { st.Close() })
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	l := DefaultLimits()
	l.Rows, l.Fresh = 2, 4
	f := told{map[string]tally{}}
	reports := func() *Reports {
		r := NewReports(st, l, daily.DefaultLimits(), func() time.Time { return now }, nil, slog.New(slog.DiscardHandler))
		r.Reports.Adopt(f, 100)
		return r
	}
	r := reports()
	add := func(d, policy, source string) {
		r.Add(place(t, d, "v=DMARC1; p="+policy+"; rua=mailto:a@"+d), row(source))
	}
	add("a.test", "none", "192.0.2.1")
	r.Flush(t.Context())
	r = reports() // a restart
	for _, ip := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"} {
		add("a.test", "reject", ip)
	}
	add("b.test", "none", "192.0.2.1")
	add("b.test", "none", "192.0.2.2")
	add("c.test", "none", "192.0.2.1") // memory is full of rows
	r.Add(place(t, "quiet.test", "v=DMARC1; p=none"), row("192.0.2.1"))
	r.Add(place(t, "web.test", "v=DMARC1; p=none; rua=https://web.test/"), row("192.0.2.1"))
	r.Flush(t.Context())
	now = now.Add(24 * time.Hour)
	r.Send(t.Context())
	got := map[string]string{}
	for d, v := range f.all {
		got[d] = fmt.Sprintf("%s %d of %d", v.Policy.P, len(v.Rows), v.weight())
	}
	if want := map[string]string{"a.test": "reject 2 of 5", "b.test": "none 2 of 2", "c.test": "none 0 of 1"}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
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
			if whole.weight() != n || len(whole.Rows) > 5 {
				r.Fatalf("%d messages are %d in %d rows", n, whole.weight(), len(whole.Rows))
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
	r := &form{Options: Options{Resolver: dns}, addresses: DefaultLimits().Addresses}
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
	r := &form{Options: Options{Mail: new(daily.Sender), Organisation: "Local", Octets: 4096}, log: slog.New(slog.DiscardHandler)}
	w := daily.Due{Day: time.Unix(1_700_000_000, 0).UTC(), Domain: d}
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

// What a domain asks for decides whether its report is over, or to be tried again.
func TestHanding(t *testing.T) {
	dns := &dnsx.Fake{
		Texts: map[string][]string{
			"_dmarc.own.test": {"v=DMARC1; p=none; rua=mailto:a@own.test"}, "_dmarc.quiet.test": {"v=DMARC1; p=none"}, "_dmarc.led.test": {"v=DMARC1; p=none; rua=mailto:a@bank.test"},
		},
		Failures: map[string]error{"TXT _dmarc.slow.test": dnsx.ErrTimeout},
	}
	sender, err := daily.New(daily.Options{
		Hostname: place(t, "mx.test", "v=DMARC1; p=none").Domain, Directory: func() *directory.Snapshot { return nil }, Active: func(mail.Address) bool { return false },
		Queue: noQueue{}, Handoff: func(spool.Claim) {}, Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	f := &form{Options: Options{Resolver: dns, Mail: sender, Octets: 1 << 20}, addresses: 2, log: slog.New(slog.DiscardHandler)}
	some := tally{Rows: []format.Record{row("192.0.2.1")}}
	for about, want := range map[string]struct {
		done bool
		err  error
	}{"quiet.test": {true, nil}, "gone.test": {true, nil}, "led.test": {true, nil}, "slow.test": {false, dnsx.ErrTimeout}, "own.test": {false, daily.ErrNoAccount}} {
		d := daily.Due{Domain: place(t, about, "v=DMARC1; p=none").Domain, Day: time.Unix(1_700_000_000, 0).UTC()}
		if done, err := f.Hand(t.Context(), d, some, nil); done != want.done || !errors.Is(err, want.err) || want.err == nil && err != nil {
			t.Errorf("%s: done %v, %v", about, done, err)
		}
		if done, err := f.Hand(t.Context(), d, tally{}, nil); about == "own.test" && (!done || err != nil) {
			t.Errorf("nothing to tell: done %v, %v", done, err)
		}
	}
	f.Octets = 10
	if done, err := f.Hand(t.Context(), daily.Due{Domain: place(t, "own.test", "v=DMARC1; p=none").Domain}, some, nil); !done || err == nil {
		t.Errorf("what is too large: done %v, %v", done, err)
	}
}

// noQueue is asked for nothing, since no account may send.
type noQueue struct{ daily.Queue }
