package site

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/dnsx"
	"sallyport/internal/node"
)

// authenticating is a site that asks a DNS about those who bring mail from loopback.
func authenticating(t *testing.T, more ...string) (*Site, *Running, *dnsx.Fake) {
	s := New(t, nil, append([]string{"[authentication]\ncheck = \"on\""}, more...)...)
	o := s.Options()
	dns := &dnsx.Fake{
		Texts: map[string][]string{
			"good.test": {"v=spf1 ip4:127.0.0.1 -all"}, "_dmarc.good.test": {"v=DMARC1; p=reject"},
			"bad.test": {"v=spf1 -all"}, "_dmarc.bad.test": {"v=DMARC1; p=reject"},
			"junk.test": {"v=spf1 -all"}, "_dmarc.junk.test": {"v=DMARC1; p=quarantine"},
			"try.test": {"v=spf1 -all"}, "_dmarc.try.test": {"v=DMARC1; p=reject; t=y"},
			"gone.test": {"v=spf1 -all"}, "_dmarc.gone.test": {"v=DMARC1; p=none; np=reject"},
		},
		Failures: map[string]error{"TXT _dmarc.silent.test": dnsx.ErrTimeout, "TXT silent.test": dnsx.ErrTimeout, "TXT key._domainkey.local.test": dnsx.ErrTimeout},
		Hosts:    map[string][]netip.Addr{},
	}
	o.Resolver = dns
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	return s, s.Serve(n), dns
}

// bring sends one message from outside and returns the answer to its end.
func bring(t *testing.T, r *Running, envelope, from string, more ...string) string {
	c := Connect(t, r.Addrs().MX[0])
	c.OK("250", "EHLO client.test")
	c.OK("250", "MAIL FROM:<%s>", envelope)
	c.OK("250", "RCPT TO:<bob@local.test>")
	c.OK("354", "DATA")
	return c.Say("%s", strings.Join(append(more, "From: "+from, "Subject: x", "Message-ID: <1@x.test>", "Date: Mon, 23 Nov 2026 10:00:00 +0000", "", "Hello.", "."), "\r\n"))
}

// The field says what was found, in the place of one that a stranger brought, and
// the trace says the same.
func TestAuthenticationResults(t *testing.T) {
	s, r, _ := authenticating(t)
	if got := bring(t, r, "a@good.test", "A <a@bad.test>"); !strings.HasPrefix(got, "550 5.7.26") {
		t.Errorf("another's name: %s", got)
	}
	if got := bring(t, r, "a@junk.test", "A <a@junk.test>"); !strings.HasPrefix(got, "250") {
		t.Errorf("for the junk folder: %s", got)
	}
	got := bring(t, r, "a@good.test", "A <a@good.test>", "Authentication-Results: mx.local.test; dkim=pass header.d=bank.test")
	id := QueueID(got)
	r.Idle()
	text := onlyMail(t, s, "bob")
	want := "Authentication-Results: mx.local.test;\r\n\tspf=pass\r\n\tsmtp.mailfrom=good.test;\r\n\tdkim=none;\r\n\tdmarc=pass (p reject)\r\n\theader.from=good.test\r\n"
	if !strings.Contains(text, want) || strings.Contains(text, "bank.test") {
		t.Errorf("the message is\n%s", text)
	}
	if junk, err := os.ReadDir(filepath.Join(s.Config.Maildir.Root, "local.test", "bob", ".Junk", "new")); err != nil || len(junk) != 1 {
		t.Errorf("%d messages in the junk folder, %v", len(junk), err)
	}
	wantEvidence(t, r, id, "spf", "pass domain=good.test by \"ip4:127.0.0.1\"")
	wantEvidence(t, r, id, "dmarc", "pass from=good.test policy=reject of=good.test")
}
