package tls

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/directory"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/reports/daily"
	"sallyport/internal/spool"
	"sallyport/internal/store"
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
			b, err := json.Marshal(part)
			if err != nil {
				r.Fatal(err)
			}
			part = tally{}
			if err = json.Unmarshal(b, &part); err != nil {
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

// counted is the weight of a tally, -1 if its details say more than it.
func counted(t tally) int {
	for _, p := range t.Policies {
		details := 0
		for _, d := range p.Details {
			details += d.Count
		}
		if details > p.Failure {
			return -1
		}
	}
	return t.weight()
}

func due(t *testing.T, s string) daily.Due {
	return daily.Due{Domain: domain(t, s), Day: time.Unix(1_700_000_000, 0).UTC().Truncate(24 * time.Hour)}
}

// told is a form that keeps what it is told.
type told struct{ all map[string]tally }

func (f told) Hand(_ context.Context, d daily.Due, t tally, _ []store.Mutation) (bool, error) {
	f.all[d.Domain.ASCII()] = t
	return true, nil
}

// Sessions are counted across a restart, each under its policy.
func TestCollecting(t *testing.T) {
	st := mem.New()
	t.Cleanup(func() { st.Close() })
	now := time.Unix(1_700_000_000, 0)
	f := told{map[string]tally{}}
	for range 2 { // with a restart
		r := NewReports(st, DefaultLimits(), daily.DefaultLimits(), func() time.Time { return now }, nil, slog.New(slog.DiscardHandler))
		r.Reports.Adopt(f, 1)
		r.Add(tlspolicy.Session{Domain: domain(t, "a.test"), Kind: tlspolicy.KindNone})
		r.Add(tlspolicy.Session{Domain: domain(t, "a.test"), Kind: tlspolicy.KindSTS, Failure: tlspolicy.ResultTrust})
		r.Add(tlspolicy.Session{Kind: tlspolicy.KindNone}) // of no domain
		r.Flush(t.Context())
		r.Send(t.Context())
	}
	if len(f.all) != 0 {
		t.Errorf("told on the same day: %v", f.all)
	}
	r := NewReports(st, DefaultLimits(), daily.DefaultLimits(), func() time.Time { return now.Add(24 * time.Hour) }, nil, slog.New(slog.DiscardHandler))
	r.Reports.Adopt(f, 1)
	r.Send(t.Context())
	got := f.all["a.test"]
	if len(f.all) != 1 || counted(got) != 4 || len(got.Policies) != 2 || got.Policies[0].Success != 2 || got.Policies[1].Failure != 2 || got.Policies[1].Details[0].Count != 2 {
		t.Errorf("told %+v", f.all)
	}
}

// A domain's report goes to the first of its places that takes it, and is tried again
// while none does; a domain that asks for none is done with.
func TestHanding(t *testing.T) {
	var posted []string
	refuse := map[string]bool{"https://bad.test/": true}
	sender, err := daily.New(daily.Options{
		Hostname: domain(t, "mx.test"), Directory: func() *directory.Snapshot { return nil }, Active: func(mail.Address) bool { return false },
		Queue: noQueue{}, Handoff: func(spool.Claim) {}, Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	f := &form{Options: Options{
		Mail: sender, Organisation: "Local", Post: func(_ context.Context, where string, gz []byte) error {
			posted = append(posted, where)
			if refuse[where] || len(gz) == 0 {
				return ErrPost
			}
			return nil
		},
		Resolver: &dnsx.Fake{
			Texts: map[string][]string{
				"_smtp._tls.web.test": {"v=TLSRPTv1; rua=https://web.test/,https://second.test/"}, "_smtp._tls.second.test": {"v=TLSRPTv1; rua=https://bad.test/,https://second.test/"},
				"_smtp._tls.bad.test": {"v=TLSRPTv1; rua=https://bad.test/"}, "_smtp._tls.mail.test": {"v=TLSRPTv1; rua=mailto:a@mail.test,https://second.test/"},
				"_smtp._tls.only.test": {"v=TLSRPTv1; rua=mailto:a@only.test"}, "_smtp._tls.odd.test": {"v=TLSRPTv1; rua=ftp://x/"},
			},
			Failures: map[string]error{"TXT _smtp._tls.slow.test": dnsx.ErrTimeout},
		},
	}, octets: 1 << 20}
	for about, want := range map[string]struct {
		done   bool
		err    error
		posted string
	}{
		"web.test": {true, nil, "https://web.test/"}, "second.test": {true, nil, "https://bad.test/ https://second.test/"}, "bad.test": {false, ErrPost, "https://bad.test/"},
		"mail.test": {true, nil, "https://second.test/"}, "only.test": {false, daily.ErrNoAccount, ""}, "odd.test": {true, nil, ""}, "gone.test": {true, nil, ""},
		"slow.test": {false, dnsx.ErrTimeout, ""}, strings.Repeat("long-label-of-a-domain.", 10) + "abcdefghijkl.test": {true, nil, ""},
	} {
		posted = nil
		done, err := f.Hand(t.Context(), due(t, about), tally{}, nil)
		if done != want.done || !errors.Is(err, want.err) || want.err == nil && err != nil || strings.Join(posted, " ") != want.posted {
			t.Errorf("%s: done %v, %v, posted %q", about, done, err, posted)
		}
	}
}

// noQueue is asked for nothing, since no account may send.
type noQueue struct{ daily.Queue }

// A report tells what was counted, in the words of RFC 8460 §4.4; one that would be too
// large tells no details.
func TestTheDocument(t *testing.T) {
	var day tally
	for i := range maxDetails {
		day.add(tlspolicy.Session{Kind: tlspolicy.KindSTS, Policy: []string{"mode: testing"}, Hosts: []string{"*.x.test"}, Failure: tlspolicy.ResultTrust, Host: fmt.Sprintf("h%d-%x.x.test", i, i*7919), Address: netip.MustParseAddr("192.0.2.1"), Reason: "x\r\ny"})
	}
	day.add(tlspolicy.Session{Kind: tlspolicy.KindSTS, Policy: []string{"mode: testing"}})
	f := &form{Options: Options{Mail: new(daily.Sender), Organisation: "Local"}, octets: 1 << 20}
	read := func() (m daily.Mail, doc map[string]any) {
		t.Helper()
		m, gz, err := f.build(due(t, "x.test"), day)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(gz))
		if err != nil || json.NewDecoder(z).Decode(&doc) != nil {
			t.Fatal(err)
		}
		return m, doc
	}
	m, doc := read()
	policy := doc["policies"].([]any)[0].(map[string]any)
	details := policy["failure-details"].([]any)
	summary := policy["summary"].(map[string]any)
	if doc["organization-name"] != "Local" || len(doc["report-id"].(string)) != 32 || len(details) != maxDetails || summary["total-failure-session-count"] != float64(maxDetails) || summary["total-successful-session-count"] != 1.0 ||
		details[0].(map[string]any)["result-type"] != tlspolicy.ResultTrust || strings.ContainsAny(details[0].(map[string]any)["failure-reason-code"].(string), "\r\n") ||
		policy["policy"].(map[string]any)["policy-domain"] != "x.test" || policy["policy"].(map[string]any)["policy-type"] != "sts" ||
		doc["date-range"].(map[string]any)["start-datetime"] != "2023-11-14T00:00:00Z" || doc["date-range"].(map[string]any)["end-datetime"] != "2023-11-14T23:59:59Z" {
		t.Errorf("%v", doc)
	}
	if m.TLS != mail.TLSOptional || m.Fields[2] != (daily.Field{Name: "TLS-Required", Value: "No"}) || m.Type != `report; report-type="tlsrpt"` || !strings.HasPrefix(m.Parts[1].Name, "!x.test!1699920000!1700006399!") {
		t.Errorf("%+v", m)
	}
	f.octets = 600
	if _, doc = read(); doc["policies"].([]any)[0].(map[string]any)["failure-details"] != nil {
		t.Error("a large report has details")
	}
}

// A report is given to a web server that proves its name, as RFC 8460 §5.4 says; one that
// does not take it is an error.
func TestPosting(t *testing.T) {
	type request struct{ method, kind, agent, body string }
	var got request
	status := http.StatusCreated
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = request{r.Method, r.Header.Get("Content-Type"), r.Header.Get("User-Agent"), string(b)}
		w.WriteHeader(status)
	}))
	defer srv.Close()
	var asked []string
	p := Poster{Port: 4443, Client: func(host dnsx.Name, port uint16) *http.Client {
		asked = append(asked, fmt.Sprintf("%s:%d", host, port))
		c := srv.Client()
		c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, srv.Listener.Addr().String())
		}
		return c
	}}
	for where, want := range map[string]string{"https://example.com/r": "example.com:4443", "https://example.com:8443/r?x=1": "example.com:8443"} {
		asked = nil
		if err := p.Post(t.Context(), where, []byte("gz")); err != nil || got != (request{"POST", "application/tlsrpt+gzip", "sallyport", "gz"}) || len(asked) != 1 || asked[0] != want {
			t.Errorf("%s: %v, asked for %q, got %+v", where, err, asked, got)
		}
	}
	for _, s := range []int{302, 400, 503} {
		status = s
		if err := p.Post(t.Context(), "https://example.com/r", []byte("gz")); err == nil {
			t.Errorf("%d is no error", s)
		}
	}
	status = 200
	for _, where := range []string{"https://other.invalid/r", "https://example.com:99999/", "https:///", "https://" + strings.Repeat("a", 70) + ".test/", ":"} {
		if err := p.Post(t.Context(), where, nil); err == nil {
			t.Errorf("%s is no error", where)
		}
	}
}
