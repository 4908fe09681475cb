package message

import (
	"bytes"
	netmail "net/mail"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
)

var at = time.Date(2026, 11, 7, 9, 14, 22, 0, time.FixedZone("", 3600))

func queueID(t testing.TB) mail.ID {
	t.Helper()
	id, err := mail.NewID(time.UnixMilli(1_800_000_000_000), bytes.NewReader(make([]byte, 9)))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// All sixteen sessions. RFC 3848, RFC 6531 §4.3.
func TestProtocol(t *testing.T) {
	for i, want := range []string{
		"SMTP", "ESMTP", "SMTP", "ESMTPS", "SMTP", "ESMTPA", "SMTP", "ESMTPSA",
		"SMTP", "UTF8SMTP", "SMTP", "UTF8SMTPS", "SMTP", "UTF8SMTPA", "SMTP", "UTF8SMTPSA",
	} {
		s := Session{Extended: i&1 != 0, TLS: i&2 != 0, Auth: i&4 != 0, UTF8: i&8 != 0}
		if got := s.Protocol(); got != want {
			t.Errorf("%+v is %s; want %s", s, got, want)
		}
	}
}

func TestReceived(t *testing.T) {
	bob, err := mail.ParseAddress("bob@local.test", mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	boeb, err := mail.ParseAddress("bøb@local.test", mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	base := Hop{Hello: "client.remote.test", Remote: netip.MustParseAddr("192.0.2.7"), By: domain(t, "mx.local.test"),
		Session: Session{Extended: true}, ID: queueID(t), At: at}
	id := queueID(t).String()
	date := ";\r\n\tSat, 7 Nov 2026 09:14:22 +0100\r\n"
	for _, c := range []struct {
		what string
		edit func(*Hop)
		want string
	}{
		{"a stranger", func(h *Hop) {}, "Received: from client.remote.test ([192.0.2.7])\r\n\tby mx.local.test with ESMTP id " + id + date},
		{"one recipient under TLS", func(h *Hop) {
			h.For, h.Cipher, h.Session.TLS = bob, "TLS_AES_128_GCM_SHA256", true
		}, "Received: from client.remote.test ([192.0.2.7])\r\n\tby mx.local.test with ESMTPS id " + id +
			"\r\n\tfor <bob@local.test>\r\n\ttls TLS_AES_128_GCM_SHA256" + date},
		{"an IPv6 literal", func(h *Hop) { h.Hello, h.Remote = "[IPv6:2001:DB8::1]", netip.MustParseAddr("fe80::1%eth0") },
			"Received: from [IPv6:2001:db8::1] ([IPv6:fe80::1])\r\n\tby mx.local.test with ESMTP id " + id + date},
		{"an IPv4 client of an IPv6 socket", func(h *Hop) { h.Remote = netip.MustParseAddr("::ffff:192.0.2.7") },
			"Received: from client.remote.test ([192.0.2.7])\r\n\tby mx.local.test with ESMTP id " + id + date},
		{"a client that lies about being nothing", func(h *Hop) { h.Hello = "x) by evil.test\r\nFrom: (\"\\é" },
			"Received: from [192.0.2.7] (hello x??by?evil.test??From:?????)\r\n\tby mx.local.test with ESMTP id " + id + date},
		{"a client without a name", func(h *Hop) { h.Hello = "" }, "Received: from [192.0.2.7]\r\n\tby mx.local.test with ESMTP id " + id + date},
		{"a client without an address", func(h *Hop) { h.Remote = netip.Addr{} },
			"Received: from client.remote.test\r\n\tby mx.local.test with ESMTP id " + id + date},
		{"a local program", func(h *Hop) { h.Hello, h.Remote = "", netip.Addr{} }, "Received: by mx.local.test with ESMTP id " + id + date},
		{"a UTF-8 recipient in ASCII mail", func(h *Hop) { h.For = boeb },
			"Received: from client.remote.test ([192.0.2.7])\r\n\tby mx.local.test with ESMTP id " + id + date},
		{"a UTF-8 recipient", func(h *Hop) { h.For, h.Session.UTF8 = boeb, true },
			"Received: from client.remote.test ([192.0.2.7])\r\n\tby mx.local.test with UTF8SMTP id " + id + "\r\n\tfor <bøb@local.test>" + date},
		{"a cipher that is none", func(h *Hop) { h.Cipher = "x\r\nFrom: y" },
			"Received: from client.remote.test ([192.0.2.7])\r\n\tby mx.local.test with ESMTP id " + id + date},
	} {
		h := base
		c.edit(&h)
		got := string(Received(h))
		if got != c.want {
			t.Errorf("%s:\n%q\n%q", c.what, got, c.want)
		}
		if p, err := ParseHeader([]byte(got)); err != nil || p.Len() != 1 || p.Hops() != 1 || p.Fault() != "" {
			t.Errorf("%s: it is not one field: %v %q", c.what, err, p.Fault())
		}
	}
}

// Whatever a client calls itself, our field stays one field of short ASCII lines.
func FuzzReceived(f *testing.F) {
	for _, s := range []string{"client.test", "[192.0.2.1]", "", "a b", "x)\r\n", strings.Repeat("a", 2000), "bücher.test", "\xff"} {
		f.Add(s, "TLS_AES_128_GCM_SHA256")
	}
	by := domain(f, "mx.local.test")
	id := queueID(f)
	f.Fuzz(func(t *testing.T, hello, cipher string) {
		raw := Received(Hop{Hello: hello, Cipher: cipher, Remote: netip.MustParseAddr("192.0.2.7"), By: by, ID: id, At: at})
		h, err := ParseHeader(raw)
		if err != nil || h.Len() != 1 || h.Hops() != 1 || h.Fault() != "" {
			t.Fatalf("%q: %v", raw, err)
		}
		for line := range strings.SplitSeq(string(raw), "\r\n") {
			if len(line) > 998 || strings.IndexFunc(line, func(c rune) bool { return c > 0x7e || c < 0x20 && c != '\t' }) >= 0 {
				t.Fatalf("%q", line)
			}
		}
	})
}

func TestMissing(t *testing.T) {
	id, by := queueID(t), domain(t, "mx.local.test")
	date, msgid := "Date: Sat, 7 Nov 2026 09:14:22 +0100\r\n", "Message-ID: <"+id.String()+"@mx.local.test>\r\n"
	for lines, want := range map[string]string{
		"From: a@b.test\n":                           date + msgid,
		"From: a@b.test\nDate: x\n":                  msgid,
		"message-id: <1@x>\n":                        date,
		"Date: x\nMESSAGE-ID: <1@x>\n":               "",
		"Resent-Date: x\nResent-Message-ID: <1@x>\n": date + msgid,
	} {
		if got := string(Missing(header(t, lines), id, by, at)); got != want {
			t.Errorf("%q lacks %q; want %q", lines, got, want)
		}
	}
	if got, err := netmail.ParseDate(FormatDate(at)); err != nil || !got.Equal(at) {
		t.Errorf("the date reads back as %v, %v", got, err)
	}
}

func TestStrip(t *testing.T) {
	rules := StripRules{Names: []string{"Return-Path", "Bcc"}, AuthServIDs: []mail.Domain{domain(t, "mx.local.test")}}
	for _, c := range []struct {
		line string
		gone bool
	}{
		{"Return-Path: <bob@remote.test>\n", true},
		{"RETURN-PATH:\n <bob@remote.test>\n", true},
		{"Return-Path : <x@y>\n", true},
		{"Bcc: secret@local.test\n", true},
		{"Received: from x\n", false},
		{"Delivered-To: bob@local.test\n", false},
		{"X-Return-Path: <x>\n", false},
		{"Authentication-Results: mx.local.test; dkim=pass\n", true},
		{"Authentication-Results: MX.local.TEST 1; dkim=pass\n", true},
		{"Authentication-Results: mx.local.test.; dkim=pass\n", true},
		{"authentication-results:mx.local.test;none\n", true},
		{"Authentication-Results:\n\tmx.local.test;\n\tspf=pass\n", true},
		{"Authentication-Results: (x(y)) mx.local.test (z); dkim=pass\n", true},
		{"Authentication-Results: \"mx.local.test\"; dkim=pass\n", true},
		{"Authentication-Results: \"mx\\.local.test\"; dkim=pass\n", true},
		{"Authentication-Results: mx.local.test\n", true},
		{"Authentication-Results : mx.local.test; dkim=pass\n", true},
		{"Authentication-Results\n : mx.local.test; dkim=pass\n", true},
		{"Authentication-Results: (x mx.local.test; dkim=pass\n", true},
		{"Authentication-Results:\n", true},
		{"Authentication-Results: ; dkim=pass\n", true},
		{"Authentication-Results: =?utf-8?q?mx=2Elocal.test?=; dkim=pass\n", true},
		{"Authentication-Results: mx.(x)local.test; dkim=pass\n", true},
		{"Authentication-Results: mx . local.test; dkim=pass\n", true},
		{"Authentication-Results: mx.local.test..; dkim=pass\n", true},
		{"Authentication-Results: mx.lo\u00adcal.test; dkim=pass\n", true},
		{"Authentication-Results: mx\uff0elocal.test 1; dkim=pass\n", true},
		{"Authentication-Results: i=1 mx.local.test; dkim=pass\n", true},
		{"Authentication-Results: mx.remote.test (for mx.local.test); dkim=pass\n", false},
		{"Authentication-Results: mx.remote.test; spf=pass smtp.helo=mx.local.test\n", false},
		{"Authentication-Results: mx.remote.test; dkim=pass\n", false},
		{"Authentication-Results: xmx.local.test; dkim=pass\n", false},
		{"Authentication-Results: mx.local.test.evil.test; dkim=pass\n", false},
		{"Authentication-Results: example_1; spf=pass\n", false},
		{"ARC-Authentication-Results: i=1; mx.local.test; dkim=pass\n", false},
	} {
		h := header(t, "A: 1\n"+c.line+"Z: 9\n")
		spans := Strip(h, rules)
		want := "A: 1\nZ: 9\n\n"
		if !c.gone {
			want = "A: 1\n" + c.line + "Z: 9\n\n"
		}
		if got := string(h.Without([]byte("!"), spans)); got != "!"+strings.ReplaceAll(want, "\n", "\r\n") {
			t.Errorf("%q: removed %d, left %q", c.line, len(spans), got)
		}
	}
	if spans := Strip(header(t, "Return-Path: x\nAuthentication-Results: mx.local.test; none\n"), StripRules{}); spans != nil {
		t.Errorf("no rules remove %v", spans)
	}
}
