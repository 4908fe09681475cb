package inspect

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/crew"
	"sallyport/internal/dnsx"
	"sallyport/internal/dnsx/dnstest"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/msgauth/dkim"
	"sallyport/internal/msgauth/spf"
)

// resolving is our own resolver over a name server with these records.
func resolving(t *testing.T, edit func(*dnsx.Limits), records ...string) (*dnsx.Client, *dnstest.Server) {
	t.Helper()
	zone, err := dnstest.NewZone(records...)
	if err != nil {
		t.Fatal(err)
	}
	server := dnstest.Serve(t, zone.Play)
	l := dnsx.DefaultLimits()
	if edit != nil {
		edit(&l)
	}
	c, err := dnsx.NewClient(dnsx.Options{Servers: []dnsx.Server{{Addr: server.Addr}}, Limits: l, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return c, server
}

// strange is a message that a stranger brings.
type strange struct {
	peer, hello, sender, from string
	more                      []string // header fields
}

func checker(t *testing.T, r dnsx.Resolver) Authenticator {
	return Authenticator{
		Hostname: domainOf(t, "mx.local.test"), Ours: func(d mail.Domain) bool { return d.ASCII() == "local.test" },
		Policy:   func() Policy { return Policy{Check: true, Apply: true, Own: OwnRefuse, Time: 20 * time.Second} },
		Resolver: func() dnsx.Resolver { return r }, Keys: func() Keys { return Keys{Resolver: r} },
		DKIM: dkim.DefaultLimits(), SPF: spf.DefaultLimits(), Crew: crew.New(time.Second), Now: time.Now,
	}
}

// judged is what becomes of a message, and what is said about it in one line.
func judged(t *testing.T, a Authenticator, s strange) (intake.Finding, string) {
	t.Helper()
	raw := strings.Join(append(s.more, "From: "+s.from, "Subject: x", "", ""), "\r\n")
	h, err := message.ParseHeader([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	sender, err := mail.ParseReversePath("<"+s.sender+">", mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	m := intake.Message{Door: gate.DoorMX, Peer: netip.MustParseAddr(s.peer), Hello: s.hello, Envelope: mail.Envelope{From: sender}, Header: h, Stored: h}
	look := a.Begin(m)
	look.Body([]byte("Hello.\r\n"))
	f := look.Judge(t.Context(), intake.Content{})
	return f, strings.Join(strings.Fields(string(f.Fields)), " ")
}

// A name server that fails above the author's own record, or for a stranger's own names,
// saves no forged message from that record.
func TestAFailingDNSSavesNobodyFromAPolicy(t *testing.T) {
	r, _ := resolving(t, nil,
		`_dmarc.a2.test. TXT "v=DMARC1; p=reject"`, "SERVFAIL _dmarc.test.",
		`_dmarc.shop.a3.test. TXT "v=DMARC1; p=reject"`, "SERVFAIL _dmarc.a3.test.", `bounce.a3.test. TXT "v=spf1 +all"`, `shop.a3.test. TXT "v=spf1 ip4:192.0.2.1 -all"`,
		`evil.test. TXT "v=spf1 +all"`,
		`lame.test. TXT "v=spf1 +all"`, "SERVFAIL _dmarc.lame.test.", "SERVFAIL x._domainkey.lame.test.", "SERVFAIL lamer.test.",
	)
	a := checker(t, r)
	signed := "DKIM-Signature: v=1; a=rsa-sha256; d=lame.test; s=x; h=from; bh=yZQq1c8wjBl0fZ4Wc/oraMCAG1mZJv5v/hlvyFy+t6A=; b=AAAA"
	for _, c := range []struct {
		strange
		want intake.Action
		says string
	}{
		{strange{"192.0.2.1", "h.evil.test", "x@evil.test", "u@a2.test", nil}, intake.Refuse, "dmarc=fail"},
		{strange{"192.0.2.1", "h.evil.test", "", "u@a2.test", nil}, intake.Refuse, "dmarc=fail"},
		{strange{"192.0.2.1", "h.evil.test", "x@lame.test", "u@a2.test", nil}, intake.Refuse, "dmarc=fail"},
		{strange{"192.0.2.1", "h.evil.test", "x@lamer.test", "u@a2.test", nil}, intake.Refuse, "spf=temperror"},
		{strange{"192.0.2.1", "h.evil.test", "x@evil.test", "u@a2.test", []string{signed}}, intake.Refuse, "dkim=temperror"},
		{strange{"192.0.2.1", "h.evil.test", "x@evil.test", "u@shop.a3.test", nil}, intake.Refuse, "dmarc=fail"},
		{strange{"192.0.2.1", "h.a3.test", "x@shop.a3.test", "u@shop.a3.test", nil}, intake.Pass, "dmarc=pass"},
		{strange{"192.0.2.1", "h.a3.test", "x@bounce.a3.test", "u@shop.a3.test", nil}, intake.Pass, "dmarc=temperror"},
	} {
		f, words := judged(t, a, c.strange)
		if f.Action != c.want || !strings.Contains(words, c.says) {
			t.Errorf("%+v: action %v by %q, %s", c.strange, f.Action, f.Rule, words)
		}
	}
}

// Keys are found behind an alias to a name that no host has. RFC 2317, RFC 6376 §3.6.2.
func TestKeysBehindOddAliases(t *testing.T) {
	r, _ := resolving(t, nil, "x._domainkey.a.test. CNAME k/1+y.keys.test.", `k/1+y.keys.test. TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="`)
	n := dkim.KeyName{Selector: "x", Domain: domainOf(t, "a.test")}
	if got := (Keys{Resolver: r}).Find(t.Context(), []dkim.KeyName{n})[n]; len(got.Records) != 1 || got.Temporary {
		t.Errorf("%+v", got)
	}
}
