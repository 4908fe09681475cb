package node

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
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	msg "sallyport/internal/message"
	"sallyport/internal/operate"
	"sallyport/internal/reports/dmarc"
	"sallyport/internal/reports/format"
)

// proveDMARCReports shows that the reporter sees a reload.
func proveDMARCReports(all map[string]keyProof) {
	const on = "[dmarc_report]\naccount = \"alice@local.test\""
	reporter := func(see func(*dmarc.Options) any) func(*Node) any {
		return func(n *Node) any {
			o, err := n.dmarcOptions(n.now())
			if err != nil || o == nil {
				return err
			}
			return see(o)
		}
	}
	for key, p := range map[string]struct {
		set string
		see func(*dmarc.Options) any
	}{
		"organisation": {`"Local"`, func(r *dmarc.Options) any { return r.Organisation }},
		"contact":      {`"https://local.test/"`, func(r *dmarc.Options) any { return r.Extra }},
		"daily":        {`7`, func(r *dmarc.Options) any { return r.Daily }},
		"size":         {`"7KiB"`, func(r *dmarc.Options) any { return r.Octets }},
	} {
		all["dmarc_report."+key] = keyProof{set: on + "\n" + key + " = " + p.set, see: reporter(p.see), on: on}
	}
	all["dmarc_report.account"] = keyProof{set: on, see: reporter(func(r *dmarc.Options) any { return r.Mail.Account() })}
}

// dmarcReports are those that left, by the domain that they are about.
func dmarcReports(s *site) map[string][][]byte {
	all := map[string][][]byte{}
	for _, m := range s.sink.Kept() {
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
	must(t, err)
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	must(t, err)
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			t.Fatal("no report among the parts")
		}
		must(t, err)
		if p.Header.Get("Content-Type") != "application/gzip" {
			continue
		}
		gz, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, p))
		must(t, err)
		all, err := format.DefaultLimits().Read(gz)
		must(t, err)
		return m.Header, p.FileName(), all.Reports[0]
	}
}

// What came in the name of a domain that asks for reports is told to it the day after:
// once, where it may go, signed, as mail of the account that answers for it.
func TestDMARCReports(t *testing.T) {
	s := newSite(t, nil, "[authentication]", `check = "on"`, "[mx]", `private = ["127.0.0.0/8"]`,
		"[dmarc_report]", `account = "alice@local.test"`, `organisation = "Local <Test>"`, `contact = "https://local.test/"`)
	o := s.options()
	var shift atomic.Int64
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(36 * time.Hour)
	ahead := time.Until(noon)
	o.Now = func() time.Time { return time.Now().Add(ahead + time.Duration(shift.Load())) }
	far := name(t, "mail.far.test")
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
	n, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(n)
	r := s.serve(n)
	op := r.Operator()
	_, err = op.DKIMRotate(t.Context(), root, operate.DKIMRef{Domain: "local.test"})
	must(t, err)
	_, err = op.DKIMActivate(t.Context(), root, operate.DKIMRef{Domain: "local.test"})
	must(t, err)
	for _, m := range [][2]string{
		{"a@far.test", "<a@far.test>"}, {"a@far.test", "<a@far.test>"}, {"", "<b@sub.far.test>"}, {"a@quiet.test", "<a@quiet.test>"},
		{"a@hostile.test", "<a@hostile.test>"}, {"a@asked.test", "<a@asked.test>"}, {"a@led.test", "<a@led.test>"}, {"a@none.test", "<a@none.test>"},
	} {
		bring(t, r, m[0], m[1])
	}
	r.idle()
	pass := func(daily int) {
		n.dmarc.Flush(t.Context())
		o, err := n.dmarcOptions(n.now())
		must(t, err)
		o.Daily = daily
		n.dmarc.Adopt(o)
		n.dmarc.Send(t.Context())
		r.idle()
	}
	pass(9)
	if got := dmarcReports(s); len(got) != 0 {
		t.Fatalf("%d reports on the same day", len(got))
	}
	shift.Store(int64(24 * time.Hour))
	pass(1)
	if got := dmarcReports(s); len(got) != 1 {
		t.Fatalf("reports about %d domains on a day that may have one", len(got))
	}
	pass(9)
	shift.Store(int64(25 * time.Hour))
	pass(9)
	got := dmarcReports(s)
	if len(got) != 2 || len(got["far.test"]) == 0 || len(got["asked.test"]) != 1 {
		t.Fatalf("reports about %d domains", len(got))
	}
	for _, m := range s.sink.Kept() {
		for _, to := range m.To {
			if strings.Contains(to, "@remote.test") || strings.Contains(to, "a@service.test") || strings.Contains(to, "r3@") {
				t.Errorf("a report went to %s", to)
			}
		}
	}
	header, file, doc := attached(t, got["far.test"][0])
	day := noon.Truncate(24 * time.Hour).Unix()
	if from, err := header.AddressList("From"); err != nil || from[0].Address != "alice@local.test" || header.Get("Auto-Submitted") != "auto-generated" || header.Get("DKIM-Signature") == "" {
		t.Errorf("header %v", header)
	}
	if !strings.HasPrefix(file, "local.test!far.test!") || !strings.HasSuffix(file, ".xml.gz") || !strings.Contains(header.Get("Subject"), "Submitter: local.test Report-ID: <"+doc.ID+">") {
		t.Errorf("file %q, subject %q", file, header.Get("Subject"))
	}
	if doc.Organisation != "Local <Test>" || doc.Contact != "alice@local.test" || doc.Extra != "https://local.test/" || doc.Begin.Unix() != day || doc.End.Unix() != day+86399 ||
		doc.Policy != (format.Policy{Domain: "far.test", Discovery: "treewalk", P: "reject", SP: "none", ADKIM: "r", ASPF: "r", Testing: "n"}) {
		t.Errorf("report %+v", doc)
	}
	if len(doc.Records) != 2 || doc.Records[0].Row.Count != 2 || doc.Records[0].Row.Source != "127.0.0.1" || doc.Records[0].Row.Evaluated.Disposition != "reject" ||
		doc.Records[0].Results.SPF[0] != (format.SPF{Domain: "far.test", Scope: "mfrom", Result: "fail"}) || doc.Records[1].Identifiers != (format.Identifiers{HeaderFrom: "sub.far.test"}) ||
		doc.Records[1].Row.Evaluated.Disposition != "none" {
		t.Errorf("records %+v", doc.Records)
	}
	reportVerified(t, r, got["far.test"][0])
}

// reportVerified holds the signature of a report against the key in use.
func reportVerified(t *testing.T, r *running, text []byte) {
	t.Helper()
	head, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	signed, err := msg.ParseHeader(append(head, "\r\n\r\n"...))
	must(t, err)
	check := dkim.NewCheck(signed, dkim.DefaultLimits())
	check.Body(body)
	found := map[dkim.KeyName]dkim.Found{}
	err = r.Operator().DKIMList(t.Context(), root, operate.DKIMRef{Domain: "local.test"}, func(k operate.DKIMKey) error {
		d, err := mail.ParseDomain(k.Domain)
		found[dkim.KeyName{Domain: d, Selector: k.Selector}] = dkim.Found{Records: []string{k.Text}}
		return err
	})
	must(t, err)
	for _, res := range check.Results(r.o.Now(), found) {
		if !res.Passed() {
			t.Errorf("%s: %s", res.Status, res.Reason)
		}
	}
	if !check.Signed() {
		t.Error("the report is not signed")
	}
}
