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

// A relay in front of us speaks for nobody by its own address, and its word tells SPF and DMARC who does; whoever it names may still
// do nothing that strangers may not.
func TestARelayInFront(t *testing.T) {
	s, r, dns := authenticating(t, `relays = ["127.0.0.1/32"]`)
	dns.Texts["away.test"], dns.Texts["_dmarc.away.test"] = []string{"v=spf1 ip4:198.51.100.7 -all"}, []string{"v=DMARC1; p=reject"}
	const by = " by mx2.local.test (Postfix) with ESMTPS id 4XyZ1; Mon, 30 Nov 2026 10:00:00 +0000"
	through := func(ip string) string {
		return "Received: from mail.away.test (unknown [" + ip + "])\r\n\t(using TLSv1.3 with cipher X (256/256 bits))\r\n\t" + by[1:]
	}
	got := bring(t, r, "a@away.test", "A <a@away.test>", through("198.51.100.7"))
	id := QueueID(got)
	if !strings.HasPrefix(got, "250") {
		t.Fatalf("honest: %s", got)
	}
	for _, c := range []struct {
		envelope, from string
		received       []string
		want           string
	}{
		{"a@away.test", "A <a@away.test>", []string{through("203.0.113.9"), through("198.51.100.7")}, "550 5.7.26"},
		{"a@good.test", "A <a@good.test>", []string{through("203.0.113.9")}, "550 5.7.26"}, // the relay's own address is no proof of that domain
		{"a@away.test", "Bob <bob@local.test>", []string{through("198.51.100.7")}, "550 5.7.1"},
	} {
		if got := bring(t, r, c.envelope, c.from, c.received...); !strings.HasPrefix(got, c.want) {
			t.Errorf("%+v: %s", c, got)
		}
	}
	c := Connect(t, r.Addrs().MX[0])
	c.OK("250", "EHLO mx2.local.test")
	c.OK("550", "MAIL FROM:<bob@local.test>")
	c.OK("250", "MAIL FROM:<a@away.test>")
	c.OK("550", "RCPT TO:<x@elsewhere.test>")
	r.Idle()
	if text := onlyMail(t, s, "bob"); !strings.Contains(text, "spf=pass (of 198.51.100.7 through 127.0.0.1)\r\n\tsmtp.mailfrom=away.test") {
		t.Errorf("the message is\n%s", text)
	}
	wantEvidence(t, r, id, "relay", `127.0.0.1 had it from 198.51.100.7, HELO "mail.away.test"`)
}
