package node

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
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
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/reports/daily"
)

// readReport takes a TLS report apart as its receiver does, with the standard library.
func readReport(t *testing.T, text []byte) (header netmail.Header, doc map[string]any) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(text))
	must(t, err)
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	must(t, err)
	if kind != "multipart/report" || params["report-type"] != "tlsrpt" {
		t.Errorf("Content-Type %q", m.Header.Get("Content-Type"))
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			t.Fatal("no report among the parts")
		}
		must(t, err)
		if p.Header.Get("Content-Type") != "application/tlsrpt+gzip" {
			continue
		}
		z, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, p))
		must(t, err)
		must(t, json.NewDecoder(z).Decode(&doc))
		return m.Header, doc
	}
}

// What happened with a domain that asks for reports is told to it the day after, as
// mail of the account that answers for it; the report itself is not reported about;
// and a frozen account reports nothing.
func TestTLSReports(t *testing.T) {
	s := newSite(t, nil, "[mx]", `private = ["127.0.0.0/8"]`, "[tls_policy]", `mta_sts = "off"`, `report_account = "alice@local.test"`)
	o := s.options()
	var shift atomic.Int64
	// At noon, and never in the past, where deadlines would have passed.
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(36 * time.Hour)
	ahead := time.Until(noon)
	o.Now = func() time.Time { return time.Now().Add(ahead + time.Duration(shift.Load())) }
	o.Resolver = &dnsx.Fake{
		Exchangers: map[string][]dnsx.MX{"far.test": {{Preference: 20, Host: name(t, "mail.far.test")}}, "quiet.test": {{Preference: 20, Host: name(t, "mail.far.test")}}},
		Hosts:      map[string][]netip.Addr{"mail.far.test": {netip.MustParseAddr("127.9.9.9")}},
		Texts:      map[string][]string{"_smtp._tls.far.test": {"v=TLSRPTv1; rua=mailto:reports@far.test"}},
	}
	n, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(n)
	r := s.serve(n)
	c := s.signIn(r, true, "bob@local.test")
	c.send("bob@local.test", "From: bob@local.test\r\n\r\nHello.\r\n", "friend@far.test", "friend@quiet.test")
	r.idle()
	n.tlsResults.Flush(t.Context())
	n.tlsResults.Send(t.Context()) // the day is not over
	r.idle()
	if got := reports(s); len(got) != 0 {
		t.Fatalf("%d reports on the same day", len(got))
	}
	shift.Store(int64(24 * time.Hour))
	n.tlsResults.Send(t.Context())
	n.tlsResults.Flush(t.Context())
	r.idle()
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
	if doc["contact-info"] != "alice@local.test" || doc["date-range"].(map[string]any)["start-datetime"] != noon.Format("2006-01-02")+"T00:00:00Z" || len(policies) != 1 ||
		first["policy"].(map[string]any)["policy-type"] != "no-policy-found" || first["summary"].(map[string]any)["total-failure-session-count"] != 1.0 ||
		details["result-type"] != "starttls-not-supported" || details["receiving-mx-hostname"] != "mail.far.test" || details["receiving-ip"] != "127.9.9.9" {
		t.Errorf("report %v", doc)
	}
	shift.Store(int64(48 * time.Hour))
	n.tlsResults.Send(t.Context())
	r.idle()
	if got := reports(s); len(got) != 1 {
		t.Errorf("%d reports: one about the report itself, or one twice", len(got))
	}
	alice, err := mail.ParseAddress("alice@local.test", mail.ASCII)
	must(t, err)
	_, err = r.Operator().AccountFreeze(t.Context(), root, operate.AccountReason{Address: alice.String(), Reason: "test"})
	must(t, err)
	sender, err := n.reportSender(s.cfg.Hostname, alice)
	must(t, err)
	if _, err := sender.Send(t.Context(), daily.Mail{To: []mail.Address{alice}}); !errors.Is(err, daily.ErrNoAccount) {
		t.Errorf("a frozen account reports: %v", err)
	}
}

func reports(s *site) (all [][]byte) {
	for _, m := range s.sink.Kept() {
		if bytes.Contains(m.Octets, []byte("TLS-Report-Domain: ")) {
			all = append(all, m.Octets)
		}
	}
	return all
}

// A report is signed as all mail of our accounts is, once the DNS shows the keys, and
// verifies. RFC 8460 §3.
func TestReportsAreSigned(t *testing.T) {
	s := newSite(t, nil)
	o := s.options()
	dns := &dnsx.Fake{Texts: map[string][]string{}}
	o.Resolver = dns
	n, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(n)
	r := s.serve(n)
	made, err := r.Operator().DKIMRotate(t.Context(), root, operate.DKIMRef{Domain: "local.test"})
	must(t, err)
	dns.Change(func() {
		for _, k := range made.Keys {
			dns.Texts[k.Name] = []string{k.Text}
		}
	})
	_, err = r.Operator().DKIMCheck(t.Context(), root, operate.DKIMRef{Domain: "local.test"})
	must(t, err)
	alice, err := mail.ParseAddress("alice@local.test", mail.ASCII)
	must(t, err)
	far, err := mail.ParseAddress("reports@remote.test", mail.ASCII)
	must(t, err)
	sender, err := n.reportSender(s.cfg.Hostname, alice)
	must(t, err)
	_, err = sender.Send(t.Context(), daily.Mail{To: []mail.Address{far}, Subject: "x", Type: "mixed", Rule: "test-report",
		Parts: []daily.Part{{Type: "application/gzip", Name: "x.gz", Data: bytes.Repeat([]byte("x"), 1000), Base64: true}}})
	must(t, err)
	r.idle()
	if len(s.sink.Kept()) != 1 {
		t.Fatal("the report did not leave")
	}
	results := verified(t, string(s.sink.Kept()[0].Octets), filtersender.Keys{Resolver: dns})
	if len(results) != 2 || !results[0].Passed() || !results[1].Passed() {
		t.Errorf("%v", results)
	}
}
