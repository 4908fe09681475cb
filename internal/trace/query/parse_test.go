package query

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/trace/index"
)

func TestParseQuery(t *testing.T) {
	id, other := testID(t, 1).String(), testID(t, 2).String()
	bounce := `Return-Path: <>
Received: from mx.local.test by mx.local.test with LMTP id ` + other + `;
 Fri, 27 Nov 2026 14:05:00 +0000
From: Mail Delivery <postmaster@local.test>
To: <alice@local.test>
Message-ID: <bounce.1@local.test>

--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.local.test
Original-Envelope-Id: ` + id + `

Final-Recipient: rfc822; bob@remote.test
Action: failed
Remote-MTA: dns; mx.remote.test

--x
Content-Type: text/rfc822-headers

Received: from laptop ([192.0.2.7]) by mx.local.test
Message-ID:
	<original.1@local.test>
`
	for _, tt := range []struct{ in, want string }{
		{id, "queue id=" + id},
		{"<a.b@c.test>", "message-id=a.b@c.test address=a.b@c.test envelope id=<a.b@c.test>"},
		{" Bob@Remote.test\n", "address=Bob@Remote.test message-id=Bob@Remote.test envelope id=Bob@Remote.test"},
		{`"a b"@local.test`, `address="a b"@local.test message-id="a b"@local.test envelope id="a b"@local.test`},
		{"192.0.2.7", "client=192.0.2.7"},
		{"192.0.2.77/24", "client=192.0.2.0/24"},
		{"2001:db8::1", "client=2001:db8::1"},
		{"[IPv6:2001:db8::1]", "client=2001:db8::1"},
		{"::ffff:192.0.2.7", "client=192.0.2.7"},
		{"c17", "connection=c17 envelope id=c17"},
		{"envid:QQ314159", "envelope id=QQ314159"},
		{"envelope-id:a b+c", "envelope id=a b+c"},
		{"Reporting-MTA: dns; mx.local.test\nOriginal-Envelope-Id: QQ 314159\r\n\nFinal-Recipient: rfc822; bob@remote.test", "envelope id=QQ 314159 address=bob@remote.test"},
		{"ip:10.0.0.0/8", "client=10.0.0.0/8"},
		{"msgid:x", "message-id=x"},
		{"addr:not-an-address", "address=not-an-address"},
		{"mail for alice@local.test was lost", "address=alice@local.test"},
		{"4ZxYab1cQz", "connection=4ZxYab1cQz remote id=4ZxYab1cQz envelope id=4ZxYab1cQz"},
		{"remote:1tHabc-0000000ABC-2xyz", "remote id=1tHabc-0000000ABC-2xyz"},
		{"250 2.0.0 Ok: queued as 4ZxYab1cQz", "remote id=4ZxYab1cQz"},
		{"250 OK id=1tHabc-0000000ABC-2xyz", "remote id=1tHabc-0000000ABC-2xyz"},
		{bounce, "queue id=" + other + " queue id=" + id + " message-id=original.1@local.test message-id=bounce.1@local.test address=bob@remote.test " +
			"address=postmaster@local.test address=alice@local.test address=bounce.1@local.test address=original.1@local.test client=192.0.2.7"},
		{"> " + strings.ReplaceAll(bounce, "\n", "\r\n> "), "queue id=" + other + " queue id=" + id + " message-id=original.1@local.test message-id=bounce.1@local.test address=bob@remote.test " +
			"address=postmaster@local.test address=alice@local.test address=bounce.1@local.test address=original.1@local.test client=192.0.2.7"},
	} {
		q, err := ParseQuery(tt.in)
		if err != nil {
			t.Errorf("ParseQuery(%q): %v", tt.in, err)
			continue
		}
		var got []string
		for _, term := range q.Terms {
			got = append(got, fmt.Sprintf("%s=%s", term.Field, term.Text))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("ParseQuery(%q)\n got %s\nwant %s", tt.in, s, tt.want)
		}
	}
	for _, in := range []string{"", "  \n", "two words", strings.Repeat("x", 300)} {
		if q, err := ParseQuery(in); !errors.Is(err, ErrNoTerm) {
			t.Errorf("ParseQuery(%q) = %v, %v", in, q, err)
		}
	}
	for _, in := range []string{"ip:nonsense", "queue:abc", "remote:nothing", "remote:1tHabc:1tHabd"} {
		if q, err := ParseQuery(in); err == nil {
			t.Errorf("ParseQuery(%q) = %v", in, q)
		}
	}
}

// A pasted text of any size is read in time proportional to it.
func TestParseQueryOfABomb(t *testing.T) {
	for _, s := range []string{"a@b.test ", "References: <a@b>\n", "\n ", ">", "Message-ID:\n", "[", id24(t)} {
		text := strings.Repeat(s, 2*MaxQueryOctets/len(s))
		if q, err := ParseQuery(text); err == nil && len(q.Terms) > maxQueryTerms {
			t.Errorf("%q: %d terms", s, len(q.Terms))
		}
	}
}

func id24(t *testing.T) string { return testID(t, 1).String() + " " }

// Every term that ParseQuery returns can be looked for.
func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{
		testID(f, 1).String(), "<a@b.test>", "192.0.2.0/24", "ip:::1", "Received: from x ([192.0.2.1]) by y id " + testID(f, 2).String() + ";\r\n\tFri",
		"Final-Recipient: rfc822;bob@remote.test\r\n\r\nMessage-ID: <x@y>\r\n", "conn:c1", "bób@bücher.test", "> Message-Id:\n>   <q@r>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := ParseQuery(s)
		if err != nil {
			return
		}
		if len(q.Terms) == 0 || len(q.Terms) > maxQueryTerms {
			t.Fatalf("%d terms", len(q.Terms))
		}
		for _, term := range q.Terms {
			m, err := newMatcher(term)
			if err != nil {
				t.Fatalf("%q yields %+v: %v", s, term, err)
			}
			if len(m.ranges(index.Section{}, 0, 2)) == 0 {
				t.Fatalf("%+v has no place in the index", term)
			}
		}
	})
}
