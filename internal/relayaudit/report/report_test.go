package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/relayaudit/verdict"
)

const hostile = `<script>alert(1)</script> "&' ]]> \u001b[31m`

// hostileRun is a report about a server that writes markup wherever it may.
func hostileRun(t *testing.T) Run {
	t.Helper()
	own, err := mail.ParseDomain("example.test")
	if err != nil {
		t.Fatal(err)
	}
	away, err := mail.ParseDomain("away.invalid")
	if err != nil {
		t.Fatal(err)
	}
	said := []verdict.Said{{Verb: "mail", Line: "MAIL FROM:<>", Sent: "MAIL FROM:<>", Outcome: "250", Reply: mail.R(250, "", hostile)},
		{Verb: "rcpt", Line: "RCPT TO:<u@away.invalid>", Sent: "RCPT TO:<u@away.invalid>", Outcome: "250", Reply: mail.R(250, "2.1.5", hostile)}}
	door := verdict.Door{At: netip.MustParseAddrPort("[2001:db8::1]:25"), Kind: verdict.SMTP, Greeting: hostile, Still: true,
		Names: verdict.Names{Host: own, Local: own, Own: []mail.Domain{own}, Away: away},
		Forms: []verdict.Form{{ID: "R01", Source: "the plainest form", Said: said, Laxer: []string{"rcpt: wanted 5, got " + hostile}}},
		TLS:   verdict.TLS{Asked: true, Cert: verdict.Certificate{Seen: true, Untrusted: hostile}}}
	var all []verdict.Result
	for _, s := range []verdict.Server{{Asked: "mx.example.test", Doors: []verdict.Door{door}}, {Asked: "192.0.2.1", Refused: "no consent " + hostile, Advice: "set\n" + hostile}} {
		r, err := verdict.Judge(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return Of(all, time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), verdict.Code(all, false))
}

// The page loads nothing, runs nothing, and shows what a server wrote as text.
func TestHTML(t *testing.T) {
	var b strings.Builder
	if err := hostileRun(t).HTML(&b); err != nil {
		t.Fatal(err)
	}
	page := strings.ToLower(b.String())
	for _, bad := range []string{"<script", "javascript:", "onclick", "onload", "src=", "<link", "<iframe", "@import", "url(", "http://", "https://"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, want := range []string{"&lt;script&gt;alert(1)&lt;/script&gt;", "default-src 'none'", "two servers, one relays, one was not audited", "how to mend it", "postfix", "opensmtpd", "exchange"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// A CI server can read it: each hole is a failure, and the text is what was sent and came back.
func TestJUnit(t *testing.T) {
	var b strings.Builder
	if err := hostileRun(t).JUnit(&b, false); err != nil {
		t.Fatal(err)
	}
	var got suites
	dec := xml.NewDecoder(strings.NewReader(b.String()))
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if _, err := dec.Token(); err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if len(got.Suites) != 2 || got.Failures != 2 || got.Suites[0].Failures != 2 || got.Suites[1].Errors != 1 {
		t.Errorf("%d suites, %d failures, errors %d", len(got.Suites), got.Failures, got.Suites[1].Errors)
	}
	text := ""
	for _, c := range got.Suites[0].Cases {
		if c.Failure != nil {
			text += c.Failure.Text
		}
	}
	if !strings.Contains(text, hostile) || !strings.Contains(text, "RCPT TO:<u@away.invalid>") {
		t.Errorf("a failure reads %q", text)
	}
}

// Machines read the verdict by a word that does not change.
func TestJSON(t *testing.T) {
	b, err := json.Marshal(hostileRun(t))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Code    int
		Servers []struct {
			Verdict  string
			Findings []struct {
				Check, Grade string
				Said         []struct{ Sent, Back string }
			}
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Code != 1 || len(got.Servers) != 2 || got.Servers[0].Verdict != "open" || got.Servers[1].Verdict != "refused" {
		t.Fatalf("%+v", got)
	}
	if f := got.Servers[0].Findings[0]; f.Check != "relay.open" || f.Grade != "hole" || len(f.Said) != 2 || f.Said[1].Back != "250 2.1.5 "+hostile {
		t.Errorf("%+v", f)
	}
}

// A person reads what was sent, what came back, why it matters and how it is mended.
func TestText(t *testing.T) {
	for all, lacks := range map[bool]string{false: "      mend  Exim: The same in tls_certificate", true: "more to know"} {
		var b strings.Builder
		if err := hostileRun(t).Text(&b, all); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"mx.example.test: RELAYS", "  HOLE: It takes mail of strangers", "sent  RCPT TO:<u@away.invalid>", "back  250 2.1.5 ", "why   ", "mend  Postfix: ", "192.0.2.1: NOT AUDITED\n  no consent", "\ntwo servers, one relays, one was not audited\n"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("all %t: lacks %q in\n%s", all, want, b.String())
			}
		}
		if strings.Contains(b.String(), lacks) {
			t.Errorf("all %t: holds %q", all, lacks)
		}
	}
}
