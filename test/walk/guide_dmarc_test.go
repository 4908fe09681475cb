package walk

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/test/guide"
)

// source is a record of a report.
func source(ip string, n int, dkim, spf string, reason string) string {
	aligned := func(d string) string {
		if d == "example.org" {
			return "pass"
		}
		return "fail"
	}
	text := fmt.Sprintf("<record><row><source_ip>%s</source_ip><count>%d</count><policy_evaluated><disposition>none</disposition><dkim>%s</dkim><spf>%s</spf>%s</policy_evaluated></row><identifiers><header_from>example.org</header_from></identifiers><auth_results>",
		ip, n, aligned(dkim), aligned(spf), reason)
	if dkim != "" {
		text += "<dkim><domain>" + dkim + "</domain><selector>s</selector><result>pass</result></dkim>"
	}
	if spf != "" {
		text += "<spf><domain>" + spf + "</domain><result>pass</result></spf>"
	}
	return text + "</auth_results></record>\n"
}

// aggregate is a report of some days ago.
func aggregate(id string, days int, records ...string) string {
	end := time.Now().AddDate(0, 0, -days)
	return fmt.Sprintf("<?xml version=\"1.0\"?>\n<feedback><report_metadata><org_name>receiver.test</org_name><email>x@receiver.test</email><report_id>%s</report_id><date_range><begin>%d</begin><end>%d</end></date_range></report_metadata>\n<policy_published><domain>example.org</domain><adkim>r</adkim><aspf>r</aspf><p>none</p><sp>none</sp><pct>100</pct></policy_published>\n%s</feedback>\n",
		id, end.Add(-24*time.Hour).Unix(), end.Unix(), strings.Join(records, ""))
}

// sendsReport hands in a report as receivers do, with whatever type and name.
func (f *follower) sendsReport(kind, name string, file []byte) {
	f.t.Helper()
	c := dial(f.t, "127.0.0.1:25")
	defer c.Close()
	must(f.t, c.Mail("noreply@receiver.test"))
	must(f.t, c.Rcpt("dmarc@example.org"))
	_, err := c.data(fmt.Sprintf("From: noreply@receiver.test\r\nTo: dmarc@example.org\r\nSubject: Report domain: example.org\r\nMIME-Version: 1.0\r\nContent-Type: %s; name=%q\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n", kind, name,
		regexp.MustCompile(`.{76}`).ReplaceAllString(base64.StdEncoding.EncodeToString(file), "$0\r\n")))
	must(f.t, err)
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("report.xml")
	must(t, err)
	_, err = w.Write([]byte(text))
	must(t, err)
	must(t, z.Close())
	return b.Bytes()
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	must(t, err)
	must(t, z.Close())
	return b.Bytes()
}

const withoutRecords = `
mx.example.org.          300 IN A   127.0.0.1
example.org.             300 IN MX  10 mx.example.org.
1.0.0.127.in-addr.arpa.  300 IN PTR mx.example.org.
. 300 IN SOA a.root. b.root. 1 2 3 4 1
`

// published puts what a command printed into the zone as it is, in the place of what was there.
func (f *follower) published(records string) {
	f.t.Helper()
	f.names.mu.Lock()
	for line := range strings.Lines(records) {
		if name, _, found := strings.Cut(line, " "); found && !strings.HasPrefix(line, ";") && name != "example.org." {
			delete(f.names.records, name)
		}
	}
	f.names.mu.Unlock()
	f.names.add(f.t, records)
}

// The guide to DMARC: its four steps, with records that are published as they are printed, and
// reports of each kind that it tells of.
func TestGuideDMARC(t *testing.T) {
	f := follow(t, guide.Open(t, "dmarc.md"), withoutRecords, least, "dmarc@example.org")
	f.doc.EveryCommand(nil)
	f.serve("sallyport serve", "127.0.0.1:25")
	// 1.
	keys := f.gives(0, f.doc.Command("sallyport dkim rotate example.org"), `_domainkey\.example\.org\..* TXT `)
	check := f.doc.Command("sallyport dkim check example.org")
	f.gives(1, check, "not published")
	f.published(keys)
	eventually(t, "what was printed is published, and is seen", func() bool { // what is not there is remembered for a while
		out, code := f.sh(check)
		return code == 0 && !strings.Contains(out, "not published")
	})
	// 2.
	record := f.doc.Command("sallyport dmarc record example.org --rua dmarc@example.org")
	first := f.gives(0, record, `(?m)^example\.org\. .*"v=spf1 mx -all"$`, `(?m)^_dmarc\.example\.org\. .*"v=DMARC1; p=none; rua=mailto:dmarc@example\.org"$`)
	f.published(first)
	f.doc.Says("Name with `--send` what else sends for you, and with `--also` the services that do.")
	f.gives(0, record+" --send 192.0.2.9 --also spf.shop.example", `ip4:192\.0\.2\.9 include:spf\.shop\.example -all`)
	f.doc.Says("If it is of another domain, a third record is printed: that domain has to publish it.")
	f.gives(0, strings.Replace(record, "dmarc@example.org", "dmarc@example.net", 1), `(?m)^example\.org\._report\._dmarc\.example\.net\. .*"v=DMARC1"$`)
	f.reads()
	// 4.
	for _, policy := range []string{"none", "quarantine", "reject"} {
		line := record
		if policy != "none" {
			line += " " + f.doc.Says("--policy "+policy)
		}
		f.published(f.gives(0, line, "p="+policy+";"))
		out, _ := f.sh("sallyport doctor --all")
		f.doc.Says("`sallyport doctor` says what the DNS shows.")
		f.wants("doctor", out, `(?s)DMARC.*p=`+policy+`\b|p=`+policy+`\b`)
	}
	_, _ = f.sh(f.doc.Command("sallyport doctor")) // its exit code says what else it found
	// Reports to others.
	account := f.doc.Says(`dmarc_report.account = "dmarc@example.org"`)
	f.write("/etc/sallyport/sallyport.toml", account+"\n"+f.read("/etc/sallyport/sallyport.toml"))
	f.swap("[authentication]\ncheck = \"off\"\n", "")
	f.gives(0, "sallyport check")
	f.gives(0, "sallyport reload")
	f.gives(0, f.doc.Command("sallyport trace dmarc@example.org"), "noreply@receiver.test")
}

// reads is the third step.
func (f *follower) reads() {
	f.t.Helper()
	good, forger := source("127.0.0.1", 40, "example.org", "example.org", ""), source("203.0.113.7", 3, "", "", "")
	service, list := source("203.0.113.8", 5, "letters.test", "bounce.letters.test", ""), source("203.0.113.9", 2, "", "lists.test", "<reason><type>mailing_list</type></reason>")
	f.sendsReport("application/gzip", "receiver.test!example.org!1!2.xml.gz", gzipped(f.t, aggregate("one", 2, good, forger)))
	f.doc.Says("under any name and type")
	f.sendsReport("application/octet-stream", "report", zipped(f.t, aggregate("two", 3, service)))
	f.sendsReport("text/xml", "x.bin", []byte(aggregate("three", 4, list)))
	f.sendsReport("text/xml", "old.xml", []byte(aggregate("old", 40, source("203.0.113.99", 1, "", "", ""))))
	f.doc.Says("from a Maildir or an mbox with other mail in it")
	f.sendsReport("text/plain", "a letter", []byte("hello\r\n"))
	f.received("dmarc@example.org", "Report domain: example.org")
	command := regexp.MustCompile(`(?m)^ {4,}(sallyport dmarc report .*)$`).FindStringSubmatch(f.doc.Text())
	if command == nil {
		f.t.Fatal("the guide no longer shows how reports are read")
	}
	eventually(f.t, "all five are there", func() bool {
		there, _ := os.ReadDir(f.path("/var/lib/sallyport/mail/example.org/dmarc/new"))
		return len(there) == 5
	})
	report := f.gives(1, command[1], `3 reports`, `50 messages, 40 of them with SPF or DKIM that speaks for the author, 10 without`)
	if strings.Contains(report, "203.0.113.99") {
		f.t.Errorf("what is older than a fortnight counts:\n%s", report)
	}
	f.doc.Says("Every source has a line, and below it what it is and what helps. Three kinds matter:")
	kinds := regexp.MustCompile(`(?m)^ +- \*([^*]+)\*`).FindAllStringSubmatch(f.doc.Text(), -1)
	if len(kinds) != 3 {
		f.t.Errorf("there are %d kinds", len(kinds))
	}
	for _, k := range kinds {
		words := strings.ReplaceAll(strings.ReplaceAll(strings.Join(strings.Fields(k[1]), " "), "another domain", ".*, and not for example.org"), "forwarded or", "forwarded or")
		f.wants("the kinds", report, words)
	}
	f.doc.Says("from files, from folders, from a Maildir or an mbox with other mail in it, or from standard input; XML, gzip and zip")
	f.gives(1, "(for m in /var/lib/sallyport/mail/example.org/dmarc/new/*; do "+
		"echo 'From reports@reporter.example Mon Nov 30 00:00:00 2026'; cat $m; echo; done) > box; sallyport dmarc report box", "4 reports")
	f.write("/root/night/reports/a.xml", aggregate("a", 2, good))
	f.write("/root/night/reports/b.gz", string(gzipped(f.t, aggregate("b", 2, good))))
	f.write("/root/night/reports/c.zip", string(zipped(f.t, aggregate("c", 2, good))))
	f.gives(0, "sallyport dmarc report reports", "3 reports", "120 messages, 120 of them")
	f.gives(0, "sallyport dmarc report reports/a.xml reports/b.gz", "2 reports")
	f.gives(0, "sallyport dmarc report - < reports/c.zip", "1 report")
	f.doc.Says("what can be read of them counts, and each fault and the number of rows that were left out are told on standard error (exit code 1)")
	f.write("/root/night/damaged.xml", strings.Replace(aggregate("d", 2, good, good), "<source_ip>127.0.0.1", "<source_ip>nowhere", 1))
	f.gives(1, "sallyport dmarc report damaged.xml 2>&1 >/dev/null", "1 row|1 of")
	f.gives(1, "sallyport dmarc report damaged.xml 2>/dev/null", "40 messages")
	f.doc.Says("With `--json` each source is an object in a line of its own.")
	f.gives(0, "sallyport dmarc report --json reports | jq -e .", "127.0.0.1")
}
