package site

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	msg "sallyport/internal/message"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/internal/reports/format"
)

// dmarcReports are those that left, by the domain that they are about.
func dmarcReports(s *Site) map[string][][]byte {
	all := map[string][][]byte{}
	for _, m := range s.Sink.Kept() {
		if _, rest, ok := strings.Cut(string(m.Octets), "\r\nSubject: Report Domain: "); ok {
			about, _, _ := strings.Cut(rest, "\r\n")
			all[about] = append(all[about], m.Octets)
		}
	}
	return all
}

// attached returns a DMARC report's header, the name of its file and what stands in it,
// read as its receiver does.
func attached(t *testing.T, text []byte) (netmail.Header, string, format.Report) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(text))
	Must(t, err)
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	Must(t, err)
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			t.Fatal("no report among the parts")
		}
		Must(t, err)
		if p.Header.Get("Content-Type") != "application/gzip" {
			continue
		}
		gz, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, p))
		Must(t, err)
		all, err := format.DefaultLimits().Read(gz)
		Must(t, err)
		return m.Header, p.FileName(), all.Reports[0]
	}
}

// What came in the name of a domain that asks for reports is told to it the day after:
// once, where it may go, signed, as mail of the account that answers for it.
func TestDMARCReports(t *testing.T) {
	text := Text + "[authentication]\ncheck = \"on\"\n[mx]\nprivate = [\"127.0.0.0/8\"]\n" +
		"[dmarc_report]\naccount = \"alice@local.test\"\norganisation = \"Local <Test>\"\ncontact = \"https://local.test/\"\ndaily = "
	s := New(t, nil)
	s.Configure(text + "9")
	o := s.Options()
	clock := newDays()
	o.Now = clock.now
	far := Name(t, "mail.far.test")
	dns := &dnsx.Fake{Exchangers: map[string][]dnsx.MX{}, Hosts: map[string][]netip.Addr{"mail.far.test": {netip.MustParseAddr("127.9.9.9")}}, Texts: map[string][]string{
		"far.test": {"v=spf1 -all"}, "_dmarc.far.test": {"v=DMARC1; p=reject; sp=none; rua=mailto:reports@far.test,https://far.test/,mailto:r2@sub.far.test,mailto:r3@far.test"},
		"_dmarc.quiet.test":   {"v=DMARC1; p=none"},
		"_dmarc.hostile.test": {"v=DMARC1; p=none; rua=mailto:victim@remote.test!10g" + strings.Repeat(",mailto:x@remote.test", 1000)},
		"_dmarc.asked.test":   {"v=DMARC1; p=none; rua=mailto:a@service.test"}, "asked.test._report._dmarc.service.test": {"v=DMARC1; rua=mailto:b@service.test"},
		"_dmarc.led.test": {"v=DMARC1; p=none; rua=mailto:a@service.test"}, "led.test._report._dmarc.service.test": {"v=DMARC1; rua=mailto:b@remote.test"},
	}}
	for _, d := range []string{"far.test", "sub.far.test", "service.test", "remote.test"} {
		dns.Exchangers[d] = []dnsx.MX{{Preference: 20, Host: far}}
	}
	o.Resolver = dns
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	r := s.Serve(n)
	_, err = r.Operator().DKIMRotate(t.Context(), operate.Self(), operate.DKIMRef{Domain: "local.test"})
	Must(t, err)
	_, err = r.Operator().DKIMActivate(t.Context(), operate.Self(), operate.DKIMRef{Domain: "local.test"})
	Must(t, err)
	for _, m := range [][2]string{
		{"a@far.test", "<a@far.test>"}, {"a@far.test", "<a@far.test>"}, {"", "<b@sub.far.test>"}, {"a@quiet.test", "<a@quiet.test>"},
		{"a@hostile.test", "<a@hostile.test>"}, {"a@asked.test", "<a@asked.test>"}, {"a@led.test", "<a@led.test>"}, {"a@none.test", "<a@none.test>"},
	} {
		bring(t, r, m[0], m[1])
	}
	r.Idle()
	pass := func(after time.Duration, daily string, about int) {
		t.Helper()
		s.Configure(text + daily)
		r = clock.begin(s, r, o, after)
		Eventually(t, "reports", func() bool { return len(dmarcReports(s)) >= about })
		bring(t, r, "a@none.test", "<a@none.test>")
		r.Idle()
		if got := dmarcReports(s); len(got) != about {
			t.Fatalf("reports about %d domains after %v, with %s allowed in a day; want %d", len(got), after, daily, about)
		}
	}
	pass(0, "9", 0) // the day is not over
	pass(24*time.Hour, "1", 1)
	pass(24*time.Hour, "9", 2)
	pass(25*time.Hour, "9", 2)
	got := dmarcReports(s)
	if len(got) != 2 || len(got["far.test"]) == 0 || len(got["asked.test"]) != 1 {
		t.Fatalf("reports about %d domains", len(got))
	}
	for _, m := range s.Sink.Kept() {
		for _, to := range m.To {
			if strings.Contains(to, "@remote.test") || strings.Contains(to, "a@service.test") || strings.Contains(to, "r3@") {
				t.Errorf("a report went to %s", to)
			}
		}
	}
	header, file, doc := attached(t, got["far.test"][0])
	day := clock.noon.Truncate(24 * time.Hour).Unix()
	if from, err := header.AddressList("From"); err != nil || from[0].Address != "alice@local.test" || header.Get("Auto-Submitted") != "auto-generated" || header.Get("DKIM-Signature") == "" {
		t.Errorf("header %v", header)
	}
	if !strings.HasPrefix(file, "local.test!far.test!") || !strings.HasSuffix(file, ".xml.gz") ||
		!strings.Contains(header.Get("Subject"), "Submitter: local.test Report-ID: <"+doc.ID+">") {
		t.Errorf("file %q, subject %q", file, header.Get("Subject"))
	}
	if doc.Organisation != "Local <Test>" || doc.Contact != "alice@local.test" || doc.Extra != "https://local.test/" || doc.Begin.Unix() != day || doc.End.Unix() != day+86399 ||
		doc.Policy != (format.Policy{Domain: "far.test", Discovery: "treewalk", P: "reject", SP: "none", ADKIM: "r", ASPF: "r", Testing: "n"}) {
		t.Errorf("report %+v", doc)
	}
	if len(doc.Records) != 2 || doc.Records[0].Row.Count != 2 || doc.Records[0].Row.Source != "127.0.0.1" || doc.Records[0].Row.Evaluated.Disposition != "reject" ||
		doc.Records[0].Results.SPF[0] != (format.SPF{Domain: "far.test", Scope: "mfrom", Result: "fail"}) ||
		doc.Records[1].Identifiers != (format.Identifiers{HeaderFrom: "sub.far.test"}) ||
		doc.Records[1].Row.Evaluated.Disposition != "none" {
		t.Errorf("records %+v", doc.Records)
	}
	reportVerified(t, r, clock.now(), got["far.test"][0])
}

// reportVerified holds the signature of a report against the key in use.
func reportVerified(t *testing.T, r *Running, at time.Time, text []byte) {
	t.Helper()
	head, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	signed, err := msg.ParseHeader(append(head, "\r\n\r\n"...))
	Must(t, err)
	check := dkim.NewCheck(signed, dkim.DefaultLimits())
	check.Body(body)
	found := map[dkim.KeyName]dkim.Found{}
	err = r.Operator().DKIMList(t.Context(), operate.Self(), operate.DKIMRef{Domain: "local.test"}, func(k operate.DKIMKey) error {
		d, err := mail.ParseDomain(k.Domain)
		found[dkim.KeyName{Domain: d, Selector: k.Selector}] = dkim.Found{Records: []string{k.Text}}
		return err
	})
	Must(t, err)
	for _, res := range check.Results(at, found) {
		if !res.Passed() {
			t.Errorf("%s: %s", res.Status, res.Reason)
		}
	}
	if !check.Signed() {
		t.Error("the report is not signed")
	}
}
