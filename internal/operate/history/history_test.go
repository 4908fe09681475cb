package history

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var written = time.Date(2026, 11, 20, 6, 0, 0, 0, time.FixedZone("", 3600))

// story is what was sent, one a line.
func story(all []Sent) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s >", s.From)
		for _, to := range s.To {
			fmt.Fprintf(&b, " %s", to)
		}
		if !s.At.IsZero() {
			fmt.Fprintf(&b, " %s", s.At.UTC().Format(time.RFC3339))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func readLog(g *Log, text string) string {
	g.File(written)
	var all []Sent
	for line := range strings.Lines(text) {
		if s, ok := g.Line(line); ok {
			all = append(all, s)
		}
	}
	return story(all)
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestPostfix(t *testing.T) {
	g := NewLog(DefaultLimits(), false)
	same(t, readLog(g, `
2026-11-01T11:00:00.123456+01:00 mail postfix/submission/smtpd[811]: 4F2A1C0012: client=pc.office.test[192.0.2.7], sasl_method=PLAIN, sasl_username=alice@office.test
2026-11-01T11:00:00.223456+01:00 mail postfix/cleanup[812]: 4F2A1C0012: message-id=<1@office.test>
2026-11-01T11:00:00.323456+01:00 mail postfix/qmgr[701]: 4F2A1C0012: from=<sales@office.test>, size=812, nrcpt=3 (queue active)
2026-11-01T11:00:02.000000+01:00 mail postfix/smtp[813]: 4F2A1C0012: to=<bob@remote.test>, relay=mx.remote.test[198.51.100.1]:25, delay=2, delays=0.1/0/1/0.9, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 77)
2026-11-01T11:00:02.500000+01:00 mail postfix/lmtp[814]: 4F2A1C0012: to=<dan@office.test>, orig_to=<team@office.test>, relay=imap[private/lmtp], delay=2, dsn=2.0.0, status=sent (250 ok)
2026-11-01T11:00:03.000000+01:00 mail postfix/smtp[813]: 4F2A1C0012: to=<typo@remote.test>, relay=mx.remote.test[198.51.100.1]:25, delay=2, dsn=5.1.1, status=bounced (host said: 550 no, status=sent (250))
2026-11-01T11:00:03.100000+01:00 mail postfix/qmgr[701]: 4F2A1C0012: removed
2026-11-01T11:00:04.000000+01:00 mail postfix/smtp[813]: 4F2A1C0012: to=<late@remote.test>, relay=x, status=sent (250 ok)
Nov  2 12:00:00 mail postfix/smtps/smtpd[900]: 3yXkV31LdRzB: client=unknown[192.0.2.8], sasl_method=LOGIN, sasl_username=carl
Nov  2 12:00:00 mail postfix/qmgr[701]: 3yXkV31LdRzB: from=<carl@office.test>, size=1, nrcpt=1 (queue active)
Nov  2 12:00:01 mail postfix/smtp[1]: 3yXkV31LdRzB: to=<eve@far.test>, relay=x, status=sent (250 ok)
Dec 03 12:00:00 mail postfix/smtpd[900]: 4G0000001: client=unknown[192.0.2.8], sasl_method=LOGIN, sasl_username=carl@office.test
Dec 03 12:00:01 mail postfix/smtp[1]: 4G0000001: to=<old@far.test>, relay=x, status=sent (250 ok)
not a line of a log
`), `
alice@office.test > bob@remote.test 2026-11-01T10:00:02Z
alice@office.test > team@office.test 2026-11-01T10:00:02Z
carl@office.test > eve@far.test 2026-11-02T11:00:01Z
carl@office.test > old@far.test 2025-12-03T11:00:01Z
`)
}

// A stranger who writes with a sender of ours teaches nobody, unless that is asked for.
func TestWithoutASignInNothingIsLearnt(t *testing.T) {
	const log = `
Nov  2 12:00:00 mail postfix/smtpd[900]: 4F2A1C0099: client=evil[203.0.113.8]
Nov  2 12:00:00 mail postfix/qmgr[701]: 4F2A1C0099: from=<alice@office.test>, size=1, nrcpt=2 (queue active)
Nov  2 12:00:01 mail postfix/smtp[1]: 4F2A1C0099: to=<bob@office.test>, relay=x, status=sent (250 ok)
Nov  2 12:00:01 mail postfix/smtp[1]: 4F2A1C0099: to=<dan@office.test>, relay=x, status=sent (250 ok)
2026-11-02 12:00:00 1vFABC-0000000AbCd-0001 <= alice@office.test H=(x P=esmtpsa A=plain:alice@office.test S=1 ) [203.0.113.8] P=esmtps S=9 id=x
2026-11-02 12:00:01 1vFABC-0000000AbCd-0001 => bob@office.test R=local T=lmtp
2026-11-02 12:00:02 1vFABC-0000000AbCe-0001 <= alice@office.test H=x [203.0.113.8] P=esmtps S=9 id=x P=esmtpsa A=plain:alice@office.test
2026-11-02 12:00:03 1vFABC-0000000AbCe-0001 => bob@office.test R=local T=lmtp
2026-11-02 12:00:02 1vFABC-0000000AbCf-0001 <= alice@office.test H=x [203.0.113.8] P=esmtps S=9 T="\" A=plain:alice@office.test"
2026-11-02 12:00:03 1vFABC-0000000AbCf-0001 => bob@office.test R=local T=lmtp
`
	g := NewLog(DefaultLimits(), false)
	same(t, readLog(g, log), "")
	if g.Left() != 4 {
		t.Errorf("%d messages were left out", g.Left())
	}
	g = NewLog(DefaultLimits(), true)
	if n := strings.Count(readLog(g, log), "alice@office.test >"); n != 5 {
		t.Errorf("%d deliveries by their sender", n)
	}
}

func TestExim(t *testing.T) {
	g := NewLog(DefaultLimits(), false)
	same(t, readLog(g, `
2026-11-01 12:00:00 1vF0aB-0000000Ab12-3CdE <= alice@office.test H=(pc) [192.0.2.7] P=esmtpsa X=TLS1.3:TLS_AES_256_GCM_SHA384:256 CV=no A=dovecot_login:alice@office.test S=812 id=1@office.test T="to <= bob" for bob@remote.test
2026-11-01 12:00:01 1vF0aB-0000000Ab12-3CdE => bob@remote.test R=dnslookup T=remote_smtp H=mx.remote.test [198.51.100.1] X=TLS1.3 C="250 OK => mallory@x.test"
2026-11-01 12:00:01 1vF0aB-0000000Ab12-3CdE -> carl@remote.test R=dnslookup T=remote_smtp H=mx.remote.test [198.51.100.1]
2026-11-01 12:00:01 1vF0aB-0000000Ab12-3CdE => dan <dan@office.test> R=local_user T=maildir_home
2026-11-01 12:00:02 1vF0aB-0000000Ab12-3CdE ** typo@remote.test R=dnslookup T=remote_smtp: 550 no
2026-11-01 12:00:02 1vF0aB-0000000Ab12-3CdE Completed
2026-11-02 12:00:00.123 +0000 [77] 1tABCD-0000xY-2a <= carl@office.test H=x [192.0.2.7] P=esmtpa A=login:carl S=1
2026-11-02 12:00:01.123 +0000 [77] 1tABCD-0000xY-2a => eve@far.test R=dnslookup T=remote_smtp
Nov  3 12:00:00 mail exim[99]: 2026-11-03 12:00:00 1tABCD-0000xZ-2a <= carl@office.test H=x [192.0.2.7] P=esmtpa A=login:carl S=1
Nov  3 12:00:01 mail exim4[99]: 1tABCD-0000xZ-2a => far@far.test R=dnslookup T=remote_smtp
`), `
alice@office.test > bob@remote.test 2026-11-01T11:00:01Z
alice@office.test > carl@remote.test 2026-11-01T11:00:01Z
alice@office.test > dan@office.test 2026-11-01T11:00:01Z
carl@office.test > eve@far.test 2026-11-02T12:00:01Z
carl@office.test > far@far.test 2026-11-03T11:00:01Z
`)
}

func TestLogsThatNeverEndAreBounded(t *testing.T) {
	l := DefaultLimits()
	l.Open = 10
	g := NewLog(l, false)
	var b strings.Builder
	for n := range 1000 {
		fmt.Fprintf(&b, "Nov  2 12:00:00 mail postfix/smtpd[9]: A%06d: client=x[192.0.2.8], sasl_method=PLAIN, sasl_username=carl@office.test\n", n)
	}
	readLog(g, b.String())
	if len(g.open) > 10 || len(g.order) > 10 {
		t.Errorf("%d messages are held", len(g.open))
	}
}

func TestYears(t *testing.T) {
	for _, c := range []struct{ line, written, want string }{
		{"Jan  1 00:00:01 x", "2026-12-31T23:59:00Z", "2027-01-01T00:00:01Z"},
		{"Dec 31 23:00:00 x", "2027-01-01T00:10:00Z", "2026-12-31T23:00:00Z"},
		{"Feb 29 12:00:00 x", "2026-06-01T00:00:00Z", "2024-02-29T12:00:00Z"},
		{"2026-11-01T12:00:00+0100 x", "2026-12-01T00:00:00Z", "2026-11-01T11:00:00Z"},
	} {
		written, _ := time.Parse(time.RFC3339, c.written)
		at, _, ok := stamp(c.line, written)
		if got := at.UTC().Format(time.RFC3339); !ok || got != c.want {
			t.Errorf("%q: %s, not %s", c.line, got, c.want)
		}
	}
}

func TestLists(t *testing.T) {
	var all []Sent
	for _, line := range []string{
		"# remark", "", "alice@office.test bob@remote.test", "alice@office.test bob@remote.test 2026-11-01",
		"alice@office.test: bob@remote.test, carl@remote.test ,dan@far.test",
	} {
		s, err := ListLine(line)
		if err != nil {
			t.Errorf("%q: %v", line, err)
		}
		if !s.From.IsZero() {
			all = append(all, s)
		}
	}
	same(t, story(all), `
alice@office.test > bob@remote.test
alice@office.test > bob@remote.test 2026-11-01T00:00:00Z
alice@office.test > bob@remote.test carl@remote.test dan@far.test
`)
	for _, line := range []string{"alice@office.test", "alice@office.test:", "a@b.test c@d.test yesterday", "a@b.test c@d.test 2026-11-01 e", "a b@c.test@d"} {
		if s, err := ListLine(line); err == nil {
			t.Errorf("%q reads as %v", line, s)
		}
	}
}

func TestMessages(t *testing.T) {
	read := func(text string, l Limits) (Sent, error) { return Message(strings.NewReader(text), written, l) }
	s, err := read("From: Alice <alice@office.test>\nTo: \"Bob, B.\" <bob@remote.test>,\n carl@remote.test\nTo: undisclosed-recipients:;\nCc: dan@far.test\nBcc: eve@far.test\nDate: Sun, 1 Nov 2026 12:00:00 +0100\n\nTo: nobody@x.test\n",
		DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	same(t, story([]Sent{s}), "alice@office.test > bob@remote.test carl@remote.test dan@far.test eve@far.test 2026-11-01T11:00:00Z")
	s, err = read("From: alice@office.test\r\nTo: bob@remote.test\r\nDate: Sun, 1 Nov 2037 12:00:00 +0100\r\n\r\n", DefaultLimits())
	if err != nil || !s.At.Equal(written) {
		t.Errorf("a date to come: %v, %v", s.At, err)
	}
	if _, err := read("From: a@b.test, c@d.test\nTo: e@f.test\n\n", DefaultLimits()); err == nil {
		t.Error("two authors are one")
	}
	if _, err := read("From: a@b.test\nX: "+strings.Repeat("y", 2000)+"\nTo: e@f.test\n\n", Limits{Header: 1000}); err == nil {
		t.Error("the header has no bound")
	}
}
