package message

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// What servers write is read, and what may be the client's own words is not.
func TestCameFrom(t *testing.T) {
	for field, want := range map[string]string{
		// Postfix, with and without TLS, a name, and a sign-in
		"from mail.a.test (mail.a.test [192.0.2.1]) by mx.b.test (Postfix) with ESMTP id 1; Mon, 30 Nov 2026 10:00:00 +0000":                                       "mail.a.test 192.0.2.1",
		"from x.a.test (unknown [192.0.2.1])\r\n\t(using TLSv1.3 with cipher X (256/256 bits))\r\n\t(No client certificate requested)\r\n\tby mx.b.test (Postfix)": "x.a.test 192.0.2.1",
		"from x.a.test (unknown [IPv6:2001:db8::1]) by mx.b.test":                                                                                                  "x.a.test 2001:db8::1",
		"from [203.0.113.9] (unknown [192.0.2.1]) by mx.b.test":                                                                                                    "[203.0.113.9] 192.0.2.1",
		"from x.a.test (unknown [192.0.2.1]:4711) by mx.b.test":                                                                                                    "x.a.test 192.0.2.1",
		"FROM\tx.a.test\t(unknown\t [192.0.2.1])\tBY mx.b.test":                                                                                                    "x.a.test 192.0.2.1",
		"from x.a.test (x.a.test [192.0.2.1] (may be forged)) by mx.b.test (8.17.1/8.17.1) with ESMTPS id 3":                                                       "x.a.test 192.0.2.1", // Sendmail
		"from mail.a.test (mail.a.test. [192.0.2.1]) by mx.google.com with ESMTPS id 1 for <b@b.test> (version=TLS1_3 bits=2)":                                     "mail.a.test 192.0.2.1",
		"from x.a.test ([192.0.2.1]) by mx.b.test with UTF8SMTPS id 1":                                                                                             "x.a.test 192.0.2.1", // this server, Exim
		"from x.a.test ([2001:db8::1] helo=y.a.test) by mx.b.test with esmtp (Exim 4.96) id 1":                                                                     "y.a.test 2001:db8::1",
		"from [192.0.2.1] (helo=y.a.test) by mx.b.test with esmtp (Exim 4.96)":                                                                                     "y.a.test 192.0.2.1",
		"from [192.0.2.1]:4711 (helo=[203.0.113.9]) by mx.b.test with esmtp (Exim 4.96)":                                                                           "[203.0.113.9] 192.0.2.1",
		"from [192.0.2.1] (port=4711 helo=y.a.test ident=u) by mx.b.test with esmtp (Exim 4.96)":                                                                   "y.a.test 192.0.2.1",
		"from unknown (HELO y.a.test) ([192.0.2.1])\r\n  by mx.b.test with ESMTP/TLS/X":                                                                            "y.a.test 192.0.2.1", // Cisco
		"from x.a.test (<unknown> [192.0.2.1]) by mx.b.test (OpenSMTPD) with ESMTP id 1 for <b@b.test>":                                                            "x.a.test 192.0.2.1",
		"from [192.0.2.1] (hello a_b) by mx.b.test with ESMTP":                                                                                                     "a_b 192.0.2.1",
		"from unknown (HELO y.a.test) (192.0.2.1) by mx.b.test with SMTP":                                                                                          "y.a.test 192.0.2.1", // qmail
		"from unknown (HELO y.a.test) (1.2.3.4@192.0.2.1) by mx.b.test with SMTP":                                                                                  "y.a.test 192.0.2.1",
		"from x.a.test (192.0.2.1) by x.b.test (10.0.0.1) with Microsoft SMTP Server id 15":                                                                        "x.a.test 192.0.2.1", // Exchange
		"from x.a.test (::ffff:192.0.2.1) by x.b.test":                                                                                                             "x.a.test 192.0.2.1",

		// Nothing that tells for certain
		"by mx.b.test (Postfix, from userid 33) id 1":                         "",
		"from x.a.test by mx.b.test":                                          "",
		"from [192.0.2.1] by mx.b.test":                                       "", // that may be its name alone
		"from x.a.test (unknown [192.0.2.1])":                                 "",
		"from x (a [203.0.113.9]) (unknown [192.0.2.1]) by mx.b.test":         "", // a name with blanks and parentheses
		"from x (a [203.0.113.9]) by y (unknown [192.0.2.1]) by mx.b.test":    "",
		"from x(a [203.0.113.9]) (unknown [192.0.2.1]) by mx.b.test":          "",
		"from x(a [203.0.113.9]) by mx.b.test":                                "",
		"from by (unknown [192.0.2.1]) by mx.b.test":                          "",
		"from unknown (HELO [203.0.113.9]) by mx.b.test":                      "",
		"from x y (unknown [192.0.2.1]) by mx.b.test":                         "",
		"from x.a.test (u@x.a.test [192.0.2.1]) by mx.b.test":                 "",
		"from x.a.test (HELO y) (a [192.0.2.1]) (b [192.0.2.2]) by mx.b.test": "",
		"from y.a.test (helo=[192.0.2.1]) by mx.b.test":                       "",
		"from x.a.test (unknown [fe80::1%eth0]) by mx.b.test":                 "",
		"from x.a.test (unknown [unix:/run/x]) by mx.b.test":                  "",
		"from x.a.test (unknown [192.0.2.1] by mx.b.test":                     "",
		"(from x) from x.a.test (unknown [192.0.2.1]) by mx.b.test":           "",
		"": "", "from": "", "from (": "", "from \\": "", ";": "",
		"from x.a.test (unknown [192.0.2.1]) by mx.b.test " + strings.Repeat("x", mostReceived): "",
	} {
		got := ""
		if came, ok := CameFrom(field); ok {
			got = came.Hello + " " + came.Remote.String()
		}
		if got != want {
			t.Errorf("%q: %q instead of %q", field, got, want)
		}
	}
}

// What this server writes tells it where a message came from, whatever the client called itself.
func TestCameFromOurOwn(t *testing.T) {
	by, err := mail.ParseDomain("mx.b.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, remote := range []string{"192.0.2.1", "2001:db8::1"} {
		for _, hello := range []string{"x.a.test", "a_b", "[203.0.113.9]", "[192.0.2.1]", "x (a [203.0.113.9]) by y", "helo=[203.0.113.9]", "([203.0.113.9])", "[203.0.113.9]x", "[203.0.113.9] x", `\`} {
			ip := netip.MustParseAddr(remote)
			field := string(Received(Hop{Hello: hello, Remote: ip, By: by, At: time.Unix(0, 0)}))
			came, ok := CameFrom(strings.TrimPrefix(field, "Received: "))
			if !ok || came.Remote != ip {
				t.Errorf("%q: %v %v of %q", hello, came, ok, field)
			}
		}
	}
}

// Whatever a field holds, it is read or it is not; and whoever is believed stands in it.
func FuzzCameFrom(f *testing.F) {
	f.Add("from x.a.test (unknown [192.0.2.1]) by mx.b.test (Postfix) with ESMTP id 1")
	f.Add("from [192.0.2.1] (helo=[203.0.113.9]) by mx.b.test")
	f.Add("from unknown (HELO y) (u@192.0.2.1) by mx.b.test")
	f.Fuzz(func(t *testing.T, field string) {
		came, ok := CameFrom(field)
		if !ok {
			return
		}
		if !came.Remote.IsValid() || came.Remote.Zone() != "" || !strings.Contains(field, came.Hello) {
			t.Errorf("%q: %+v", field, came)
		}
	})
}
