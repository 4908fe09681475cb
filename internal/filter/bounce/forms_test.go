package bounce_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"sallyport/internal/filter/bounce"
	"sallyport/internal/message"
)

func read(t *testing.T, text string) bounce.Found {
	t.Helper()
	head, body, _ := strings.Cut(strings.ReplaceAll(text, "\n", "\r\n"), "\r\n\r\n")
	h, err := message.ParseHeader([]byte(head + "\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := bounce.DefaultLimits().Read(h, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A Message-ID is found whole in whatever form a text copies it, however the text is
// encoded, wrapped and quoted.
func TestForms(t *testing.T) {
	const one = "[{<1@local.test> [local.test]}]"
	const daemon = "From: MAILER-DAEMON@far.test\n"
	const copied = "sorry\n\nReceived: from x\nFrom: Alice <alice@local.test>\nMessage-ID: <1@local.test>\nSubject: hi\n"
	plain := func(encoding, text string) string {
		return daemon + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: " + encoding + "\n\n" + text
	}
	page := func(text string) string { return daemon + "Content-Type: text/html\n\n" + text }
	var wide []byte
	for _, u := range utf16.Encode([]rune(strings.ReplaceAll(copied, "\n", "\r\n"))) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	whole := report("delivery-status", "message/rfc822", "7bit", returned+"\nbody")
	for name, tc := range map[string]struct{ text, want string }{
		"quoted-printable":             {plain("quoted-printable", strings.ReplaceAll(copied, "<1@local", "<1@l=\nocal")), one},
		"quoted-printable, coded":      {plain("Quoted-Printable", strings.ReplaceAll(copied, "<1@local.test>", "=3C1=40lo= \ncal.test=3E")), one},
		"quoted-printable, malformed":  {plain("quoted-printable", "a=b =ZZ =\n"+copied+"="), one},
		"base64":                       {plain("base64", base64.StdEncoding.EncodeToString([]byte(copied))), one},
		"base64 in lines":              {plain("BASE64", wrap(base64.StdEncoding.EncodeToString([]byte(copied)), 20)), one},
		"base64 broken off":            {plain("base64", base64.RawStdEncoding.EncodeToString([]byte(copied+"xx"))), one},
		"base64 of UTF-16":             {daemon + "Content-Type: text/plain; charset=UTF-16LE\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString(wide), one},
		"folded":                       {plain("7bit", strings.ReplaceAll(copied, "<1@", "\n <1@")), one},
		"folded within":                {plain("7bit", strings.ReplaceAll(copied, "<1@", "<1\n\t@")), one},
		"quoted":                       {plain("7bit", strings.ReplaceAll(copied, "\n", "\n> ")), one},
		"quoted and folded":            {plain("7bit", strings.ReplaceAll(strings.ReplaceAll(copied, "<1@", "\n  <1@"), "\n", "\n> ")), one},
		"indented":                     {plain("7bit", strings.ReplaceAll(copied, "\n", "\n    ")), one},
		"without brackets":             {plain("7bit", strings.ReplaceAll(copied, "<1@local.test>", "1@local.test")), "[{1@local.test [local.test]}]"},
		"another case":                 {plain("7bit", strings.ReplaceAll(copied, "1@local.test>", "1@LOCAL.Test>")), "[{<1@LOCAL.Test> [local.test]}]"},
		"in other words":               {plain("7bit", "Original Message Id: <1@local.test>\nFrom: alice@local.test\n"), one},
		"another one first":            {plain("7bit", "Message-ID: <x@far.test>\n"+copied), "[{<x@far.test> [local.test]} {<1@local.test> [local.test]}]"},
		"a page":                       {page("<p>Sorry<br>From: alice@local.test<br>Message-ID: &lt;1@local.test&gt;</p>"), one},
		"a page with a table":          {page("<table><tr><td>From:</td><td>alice@local.test</td></tr><tr><td>Message-ID:</td><td>&lt;1@<wbr>local.test&gt;</td></tr></table>"), one},
		"a page that escapes nothing":  {page("From: alice@local.test<br>Message-ID: <one@local.test>"), "[{<one@local.test> [local.test]}]"},
		"a page in quoted-printable":   {daemon + "Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<div style=3D\"x\">From: alice@local.test<br>Message-ID:=20=\n&lt;1@local=\n.test&gt;</div>", one},
		"a part that returns nothing":  {report("delivery-status", "text/plain", "quoted-printable", strings.ReplaceAll(copied, "<1@local", "<1@l=\nocal")), one},
		"in a field of the report":     {strings.Replace(report("delivery-status", "text/plain", "7bit", "x"), "Reporting-MTA", "X-Original-Message-ID: <1@local.test>\nReporting-MTA", 1), "[{<1@local.test> []}]"},
		"returned and folded":          {report("delivery-status", "message/rfc822", "7bit", strings.ReplaceAll(returned, "<1@", "\n <1@")+"\nx"), one},
		"returned in bad base64":       {report("delivery-status", "text/rfc822-headers", "base64", " "+wrap(base64.StdEncoding.EncodeToString([]byte(returned)), 30)+"\n="), one},
		"a report in a list's wrap":    {"From: list@far.test\nContent-Type: multipart/mixed; boundary=o\n\n--o\n" + whole[strings.Index(whole, "Content-Type:"):] + "--o\nContent-Type: text/plain\n\na footer\n--o--\n", one},
		"a boundary without its marks": {strings.NewReplacer("boundary=\"b\"", "boundary=b:=1", "--b", "--b:=1").Replace(whole), one},
		"a malformed type of a part":   {strings.Replace(whole, "Content-Type: message/rfc822", "Content-Type: message/rfc822; =", 1), one},
		"a part with a malformed head": {strings.Replace(whole, "Content-Type: text/plain", ">From x\nContent-Type: text/plain", 1), one},
		"no line of the boundary":      {daemon + "Content-Type: multipart/mixed; boundary=none\n\n" + copied, one},
		"nothing but recipients":       {plain("7bit", "no:\n<a@far.test>\n<b@far.test>\n"), "[]"},
		"a file":                       {report("delivery-status", "application/octet-stream; name=\"Mime.822\"", "7bit", returned+"\nbody"), one},
		"a file in base64":             {report("delivery-status", "application/octet-stream; name=original.eml", "base64", base64.StdEncoding.EncodeToString([]byte(returned))), one},
		"a message of another kind":    {report("delivery-status", "message/rfc2822", "7bit", returned+"\nbody"), one},
		"a picture":                    {daemon + "Content-Type: image/png\n\n" + copied, "[]"},
	} {
		f := read(t, tc.text)
		if got := fmt.Sprint(f.Returned); f.Kind == bounce.NoBounce || got != tc.want {
			t.Errorf("%s: kind %d, %s (mentioned %v); want %s", name, f.Kind, got, f.Mentioned, tc.want)
		}
	}
}

// What stands elsewhere is mentioned, and whatever has the form of a queue identifier.
func TestMentions(t *testing.T) {
	const queue = "0123456789abcdefghjkmnpq"
	for name, tc := range map[string]struct{ text, mentioned, queue string }{
		"in a sentence":    {"From: postmaster@far.test\n\nThe message with Message-ID 1@local.test to <x@far.test> failed.\n", "[1@local.test <x@far.test>]", "[]"},
		"wrapped":          {"From: postmaster@far.test\n\nYour mail <1@\nlocal.test> failed.\n", "[<1@local.test>]", "[]"},
		"the mark is lost": {"From: postmaster@far.test\n\nYour mail =3C1@loc=\nal.test=3E failed.\n", "[<1@local.test>]", "[]"},
		"both of a returned one": {report("delivery-status", "message/rfc822", "7bit", "Message-ID: <gateway@far.test>\nX-Original-Message-Id: <1@local.test>\nReceived: from a by mx.local.test with ESMTPSA id "+queue+"; x\n\nx"),
			"[<none@of.this> <gateway@far.test> <1@local.test>]", "[" + queue + "]"},
		"an envelope id": {strings.Replace(report("delivery-status", "text/plain", "7bit", "x"), "Reporting-MTA", "Original-Envelope-Id: "+queue+"\nReporting-MTA", 1), "[<none@of.this>]", "[" + queue + "]"},
	} {
		f := read(t, tc.text)
		if m, q := fmt.Sprint(f.Mentioned), fmt.Sprint(f.Queue); m != tc.mentioned || q != tc.queue {
			t.Errorf("%s: %s %s; want %s %s", name, m, q, tc.mentioned, tc.queue)
		}
	}
}

func wrap(s string, n int) string {
	var b strings.Builder
	for len(s) > n {
		b.WriteString(s[:n] + "\n")
		s = s[n:]
	}
	return b.String() + s
}

// shapes are texts that cost much where anything is done again and again.
func shapes() map[string]string {
	return map[string]string{
		"angles": "<", "tags": "<a", "tags with at": "<a@", "comments": "<!--", "equals": "=", "soft": "= ", "labels": "message-id ", "fields": "Message-ID:\n",
		"open": "Message-ID: <a\n", "from": "From: a\n", "m": "m", "entities": "&lt", "boundary": "--b\n", "parts": "--b\n\n", "queue": "0123456789abcdefghjkmnpq ", "quotes": "> ",
		"empty": "\n",
	}
}

// Whatever stands in a bounce, its cost grows with its length alone.
func TestLinear(t *testing.T) {
	const small, large = 16 << 10, 512 << 10
	cost := func(kind, unit string, octets int) time.Duration {
		h, err := message.ParseHeader([]byte("From: postmaster@far.test\r\nContent-Type: " + kind + "\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(strings.Repeat(unit, octets/len(unit)), "\n", "\r\n")
		at := time.Now()
		if _, err := bounce.DefaultLimits().Read(h, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		return time.Since(at)
	}
	for name, unit := range shapes() {
		for _, kind := range []string{"text/plain", "text/html", "multipart/mixed; boundary=b"} {
			linear := false
			var few, many time.Duration
			for range 10 { // another program may have had its turn
				// The small one is rounded up, so that what costs next to nothing does not count.
				few, many = max(cost(kind, unit, small), 2*time.Millisecond), cost(kind, unit, large)
				if linear = many <= 2*large/small*few; linear {
					break
				}
			}
			if !linear {
				t.Errorf("%s as %s: %v, and %v for %d times as much", name, kind, few, many, large/small)
			}
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for name, unit := range shapes() {
		for _, kind := range []string{"text/plain", "text/html"} {
			h, err := message.ParseHeader([]byte("From: postmaster@far.test\r\nContent-Type: " + kind + "\r\n\r\n"))
			if err != nil {
				b.Fatal(err)
			}
			text := strings.Repeat(unit, (1<<20)/len(unit))
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					_, _ = bounce.DefaultLimits().Read(h, strings.NewReader(text))
				}
			})
		}
	}
}

// A program that writes no report is known by its name, however its From is written.
func TestBounceByItsAuthor(t *testing.T) {
	for _, c := range []struct {
		from string
		want bounce.Kind
	}{
		{"MAILER-DAEMON@far.test", bounce.Plain},
		{"MAILER-DAEMON@far.test (Mail Delivery System)", bounce.Plain},
		{"MAILER-DAEMON (Mail Delivery System) @far.test", bounce.Plain},
		{"(the mailer) MAILER-DAEMON @ far . test", bounce.Plain},
		{"Syst\xe8me de messagerie <MAILER-DAEMON@far.test>", bounce.Plain},
		{"Système <mailer-daemon@far.test >", bounce.Plain},
		{"=?utf-8?q?Syst=C3=A8me?= <\n MAILER-DAEMON@far.test>", bounce.Plain},
		{"\"MAILER-DAEMON\"@far.test", bounce.Plain},
		{"Mail Delivery Subsystem <MAILER-DAEMON>", bounce.Plain},
		{"MAILER-DAEMON (Mail Delivery System)", bounce.Plain},
		{"<postmaster@mx_1.far.test>", bounce.Plain},
		{"Mail Delivery:MAILER-DAEMON@far.test;", bounce.Plain},
		{"MAILER-DAEMON@far.test <MAILER-DAEMON@far.test>", bounce.Plain},
		{"\"MAILER-DAEMON\" <x@far.test>", bounce.NoBounce},
		{"x@far.test (MAILER-DAEMON)", bounce.NoBounce},
		{"MAILER-DAEMON x <x@far.test>", bounce.NoBounce},
		{"mailer-daemon.x@far.test", bounce.NoBounce},
	} {
		f := read(t, "From: "+c.from+"\nSubject: failure\n\nfailed\n\n> Message-ID: <1@local.test>\n> From: Alice <alice@local.test >\n")
		if f.Kind != c.want {
			t.Errorf("%q: %d, want %d", c.from, f.Kind, c.want)
		}
		if c.want == bounce.Plain && (len(f.Returned) != 1 || fmt.Sprint(f.Returned[0].Domains) != "[local.test]") {
			t.Errorf("%q returns %v", c.from, f.Returned)
		}
	}
}
