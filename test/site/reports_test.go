package site

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/dnsx"
	filtersender "sallyport/internal/filter/sender"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/internal/reports/daily"
)

// readReport takes a TLS report apart as its receiver does, with the standard library.
func readReport(t *testing.T, text []byte) (header netmail.Header, doc map[string]any) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(text))
	Must(t, err)
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	Must(t, err)
	if kind != "multipart/report" || params["report-type"] != "tlsrpt" {
		t.Errorf("Content-Type %q", m.Header.Get("Content-Type"))
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			t.Fatal("no report among the parts")
		}
		Must(t, err)
		if p.Header.Get("Content-Type") != "application/tlsrpt+gzip" {
			continue
		}
		z, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, p))
		Must(t, err)
		Must(t, json.NewDecoder(z).Decode(&doc))
		return m.Header, doc
	}
}

// days is the clock of a server whose days pass when a test says so. It begins at noon, and
// never in the past, where deadlines would have passed.
type days struct {
	noon  time.Time
	ahead time.Duration
	shift atomic.Int64
}

func newDays() *days {
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(36 * time.Hour)
	return &days{noon: noon, ahead: time.Until(noon)}
}

func (d *days) now() time.Time { return time.Now().Add(d.ahead + time.Duration(d.shift.Load())) }

// begin stops a server and starts it so long after the first noon. A server keeps what it
// counted when it stops, and tells what is due when it starts.
func (d *days) begin(s *Site, r *Running, o node.Options, after time.Duration) *Running {
	s.t.Helper()
	r.Stopped()
	d.shift.Store(int64(after))
	n, err := node.Open(s.t.Context(), s.Config, o)
	Must(s.t, err)
	return s.Serve(n)
}

// What happened with a domain that asks for reports is told to it the day after, as
// mail of the account that answers for it; the report itself is not reported about;
// and a frozen account reports nothing.
func TestTLSReports(t *testing.T) {
	s := New(t, nil, "[mx]", `private = ["127.0.0.0/8"]`, "[tls_policy]", `mta_sts = "off"`, `report_account = "alice@local.test"`)
	var log lockedBuffer
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	o := s.Options()
	clock := newDays()
	o.Now = clock.now
	dns := &dnsx.Fake{
		Exchangers: map[string][]dnsx.MX{},
		Hosts:      map[string][]netip.Addr{"mail.far.test": {netip.MustParseAddr("127.9.9.9")}},
		Texts:      map[string][]string{"_smtp._tls.far.test": {"v=TLSRPTv1; rua=mailto:reports@far.test"}, "_smtp._tls.also.test": {"v=TLSRPTv1; rua=mailto:reports@also.test"}},
	}
	for _, d := range []string{"far.test", "quiet.test", "also.test"} {
		dns.Exchangers[d] = []dnsx.MX{{Preference: 20, Host: Name(t, "mail.far.test")}}
	}
	o.Resolver = dns
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	r := s.Serve(n)
	write := func(to ...string) {
		s.SignIn(r, true, "bob@local.test").Send("bob@local.test", "From: bob@local.test\r\n\r\nHello.\r\n", to...)
		r.Idle()
	}
	write("friend@far.test", "friend@quiet.test")
	r = clock.begin(s, r, o, 0) // the day is not over
	write("alice@local.test")
	if got := reports(s); len(got) != 0 {
		t.Fatalf("%d reports on the same day", len(got))
	}
	r = clock.begin(s, r, o, 24*time.Hour)
	Eventually(t, "a report", func() bool { return len(reports(s)) > 0 })
	write("friend@also.test")
	got := reports(s)
	if len(got) != 1 {
		t.Fatalf("%d reports, want one", len(got))
	}
	header, doc := readReport(t, got[0])
	if from, err := header.AddressList("From"); err != nil || from[0].Address != "alice@local.test" || header.Get("TLS-Report-Domain") != "far.test" ||
		header.Get("TLS-Report-Submitter") != "local.test" || header.Get("TLS-Required") != "No" || !strings.HasPrefix(header.Get("Subject"), "Report Domain: far.test") {
		t.Errorf("header %v", header)
	}
	policies := doc["policies"].([]any)
	first := policies[0].(map[string]any)
	details := first["failure-details"].([]any)[0].(map[string]any)
	if doc["contact-info"] != "alice@local.test" || doc["date-range"].(map[string]any)["start-datetime"] != clock.noon.Format("2006-01-02")+"T00:00:00Z" || len(policies) != 1 ||
		first["policy"].(map[string]any)["policy-type"] != "no-policy-found" || first["summary"].(map[string]any)["total-failure-session-count"] != 1.0 ||
		details["result-type"] != "starttls-not-supported" || details["receiving-mx-hostname"] != "mail.far.test" || details["receiving-ip"] != "127.9.9.9" {
		t.Errorf("report %v", doc)
	}
	r = clock.begin(s, r, o, 48*time.Hour)
	Eventually(t, "the next report", func() bool { return len(reports(s)) > 1 })
	write("friend@also.test")
	if got := reports(s); len(got) != 2 || !bytes.Contains(got[1], []byte("TLS-Report-Domain: also.test")) {
		t.Errorf("%d reports: one about the report itself, or one twice", len(got))
	}
	_, err = r.Operator().AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test", Reason: "test"})
	Must(t, err)
	r = clock.begin(s, r, o, 72*time.Hour)
	Eventually(t, "a report that is not sent", func() bool { return strings.Contains(log.String(), "a report is not sent") })
	r.Idle()
	if got := reports(s); len(got) != 2 || !strings.Contains(log.String(), daily.ErrNoAccount.Error()) {
		t.Errorf("a frozen account reports: %d", len(got))
	}
}

func reports(s *Site) (all [][]byte) {
	for _, m := range s.Sink.Kept() {
		if bytes.Contains(m.Octets, []byte("TLS-Report-Domain: ")) {
			all = append(all, m.Octets)
		}
	}
	return all
}

// A report is signed as all mail of our accounts is, once the DNS shows the keys, and
// verifies. RFC 8460 §3.
func TestReportsAreSigned(t *testing.T) {
	s := New(t, nil, "[mx]", `private = ["127.0.0.0/8"]`, "[tls_policy]", `mta_sts = "off"`, `report_account = "alice@local.test"`)
	o := s.Options()
	clock := newDays()
	o.Now = clock.now
	dns := &dnsx.Fake{
		Exchangers: map[string][]dnsx.MX{"far.test": {{Preference: 20, Host: Name(t, "mail.far.test")}}},
		Hosts:      map[string][]netip.Addr{"mail.far.test": {netip.MustParseAddr("127.9.9.9")}},
		Texts:      map[string][]string{"_smtp._tls.far.test": {"v=TLSRPTv1; rua=mailto:reports@far.test"}},
	}
	o.Resolver = dns
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	r := s.Serve(n)
	made, err := r.Operator().DKIMRotate(t.Context(), operate.Self(), operate.DKIMRef{Domain: "local.test"})
	Must(t, err)
	dns.Change(func() {
		for _, k := range made.Keys {
			dns.Texts[k.Name] = []string{k.Text}
		}
	})
	_, err = r.Operator().DKIMCheck(t.Context(), operate.Self(), operate.DKIMRef{Domain: "local.test"})
	Must(t, err)
	s.SignIn(r, true, "bob@local.test").Send("bob@local.test", "From: bob@local.test\r\n\r\nHello.\r\n", "friend@far.test")
	r.Idle()
	clock.begin(s, r, o, 24*time.Hour)
	Eventually(t, "the report to leave", func() bool { return len(reports(s)) == 1 })
	results := verified(t, string(reports(s)[0]), clock.now(), filtersender.Keys{Resolver: dns})
	if len(results) != 2 || !results[0].Passed() || !results[1].Passed() {
		t.Errorf("%v", results)
	}
}
