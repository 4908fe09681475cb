package bounce_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/filter/bounce"
	"sallyport/internal/message"
)

const returned = "Received: from x\nMessage-ID: <1@local.test>\nFrom: Alice <alice@local.test>\nSubject: hi\n"

func report(kind, part, encoding, content string) string {
	return "From: MAILER-DAEMON@far.test\nContent-Type: multipart/report; report-type=" + kind + "; boundary=\"b\"\n\n" +
		"preamble\n--b\nContent-Type: text/plain\n\nSorry. Message-ID: <none@of.this>\n\n--b\nContent-Type: message/delivery-status\n\n" +
		"Reporting-MTA: dns; far.test\n\nFinal-Recipient: rfc822; x@far.test\nAction: failed\nStatus: 5.1.1\n\n" +
		"--b\nContent-Type: " + part + "\nContent-Transfer-Encoding: " + encoding + "\n\n" + content + "\n--b--\n"
}

// What comes back is found in the forms in which servers return it, and only there.
func TestRead(t *testing.T) {
	const one = "[{<1@local.test> [local.test]}]"
	qmail := "From: MAILER-DAEMON@far.test\nSubject: failure notice\n\nHi. This is the qmail-send program at far.test.\n\n<x@far.test>:\nno mailbox\n\n" +
		"--- Below this line is a copy of the message.\n\nReturn-Path: <alice@local.test>\n" + returned + "\nhello\n"
	cut := strings.Index(report("delivery-status", "message/rfc822", "7bit", returned+"To: x"), "To: x")
	for name, tc := range map[string]struct {
		text string
		kind bounce.Kind
		want string
	}{
		"a report with the message": {report("delivery-status", "message/rfc822", "7bit", returned+"\nbody"), bounce.Report, one},
		"a report with the header":  {report("delivery-status", "text/rfc822-headers", "7bit", returned), bounce.Report, one},
		"a report in capitals":      {report("Delivery-Status", "Message/RFC822; x=y", "8bit", returned), bounce.Report, one},
		"quoted printable":          {report("delivery-status", "text/rfc822-headers", "quoted-printable", strings.Replace(returned, "<1@", "=3C1=\n@", 1)), bounce.Report, one},
		"base64":                    {report("delivery-status", "message/global", "base64", "TWVzc2FnZS1JRDogPDFAbG9jYWwudGVzdD4KRnJvbTogYWxp\nY2VAbG9jYWwudGVzdAo="), bounce.Report, one},
		"broken off":                {report("delivery-status", "message/rfc822", "7bit", returned+"To: x")[:cut], bounce.Report, one},
		"within another multipart": {"Content-Type: multipart/report; report-type=delivery-status; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=\"b\"\n\n--b\nContent-Type: message/rfc822\n\n" +
			returned + "\n--b--\n\n--o--\n", bounce.Report, one},
		"a report without it":  {report("delivery-status", "text/plain", "7bit", "gone"), bounce.Report, "[]"},
		"qmail":                {qmail, bounce.Plain, one},
		"quoted text":          {"From: postmaster@far.test\n\nfailed:\n> From: alice@local.test\n> Message-Id: <1@local.test>\n", bounce.Plain, one},
		"Exim":                 {"From: Mail <x@far.test>\nX-Failed-Recipients: x@far.test\n\n------ This is a copy of the message\n\n" + returned, bounce.Plain, one},
		"nothing returned":     {"From: MAILER-DAEMON@far.test\n\nfailed\n", bounce.Plain, "[]"},
		"no identifier":        {report("delivery-status", "message/rfc822", "7bit", "From: alice@local.test\n"), bounce.Report, "[{ [local.test]}]"},
		"was read":             {report("disposition-notification", "message/rfc822", "7bit", returned), bounce.NoBounce, "[]"},
		"somebody is away":     {"From: x@far.test\nAuto-Submitted: auto-replied\nIn-Reply-To: <1@local.test>\n\nI am away. Message-ID: <1@local.test>\n", bounce.NoBounce, "[]"},
		"no boundary":          {"Content-Type: multipart/report; report-type=delivery-status\n\nx\n", bounce.Report, "[]"},
		"a malformed type":     {"From: x@far.test\nContent-Type: multipart/report; report-type\n\nx\n", bounce.NoBounce, "[]"},
		"many messages":        {"From: x@far.test\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n" + strings.Repeat("--b\nContent-Type: message/rfc822\n\nMessage-ID: <1@x>\n\n", 100) + "--b--\n", bounce.Report, "[" + strings.TrimSuffix(strings.Repeat("{<1@x> []} ", 19), " ") + "]"},
		"deeper than anything": {deep(200), bounce.Report, "[{<1@local.test> [local.test]}]"},
	} {
		head, body, _ := strings.Cut(strings.ReplaceAll(tc.text, "\n", "\r\n"), "\r\n\r\n")
		h, err := message.ParseHeader([]byte(head + "\r\n\r\n"))
		if err != nil {
			t.Fatal(name, err)
		}
		f, err := bounce.DefaultLimits().Read(h, strings.NewReader(body))
		if got := fmt.Sprint(f.Returned); err != nil || f.Kind != tc.kind || got != tc.want {
			t.Errorf("%s: kind %d, %s, %v; want kind %d, %s", name, f.Kind, got, err, tc.kind, tc.want)
		}
	}
}

// deep hides a message behind more multiparts than are entered; its lines are read.
func deep(n int) string {
	var b strings.Builder
	b.WriteString("Content-Type: multipart/report; report-type=delivery-status; boundary=b0\n\n")
	for i := range n {
		fmt.Fprintf(&b, "--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n", i, i+1)
	}
	return b.String() + returned
}

func FuzzRead(f *testing.F) {
	f.Add("Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n", "--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <1@x>\r\n\r\n--b--\r\n")
	f.Add("From: MAILER-DAEMON@x\r\n\r\n", "> Message-ID: <1@x>\r\n> From: a@b\r\n")
	f.Add("X-Failed-Recipients: x\r\n\r\n", "")
	l := bounce.DefaultLimits()
	f.Fuzz(func(t *testing.T, head, body string) {
		h, err := message.ParseHeader([]byte(head))
		if err != nil {
			return
		}
		found, err := l.Read(h, strings.NewReader(body))
		if err != nil || len(found.Returned) > l.Returned || found.Kind == bounce.NoBounce && len(found.Returned) > 0 {
			t.Errorf("%+v, %v", found, err)
		}
	})
}
