package wire

import (
	"math"
	"strings"
	"testing"

	"sallyport/internal/mail"
)

// Each line is what a client sends; the right side is the verb and what was read,
// or the refusal.
func TestParseCommand(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"EHLO client.test", "EHLO client.test"},
		{"ehlo [192.0.2.1]", "EHLO [192.0.2.1]"},
		{"HELO x ", "HELO x"},
		{"LHLO x", "LHLO x"},
		{"EHLO", "EHLO "},
		{"EHLO ", "EHLO "},
		{"EHLO a b", "EHLO a b"},
		{"HELO  RICOH MP C3003", "HELO RICOH MP C3003"},
		{"HELO \"B\xfcro\"", "HELO \"B\xfcro\""},
		{"NOOP  x", "NOOP x"},
		{"EHLO " + strings.Repeat("a", 256), "501 5.5.4"},
		{"NOOP", "NOOP "},
		{"NOOP whatever it is", "NOOP whatever it is"},
		{"HELP ../../etc/passwd", "HELP ../../etc/passwd"},
		{"VRFY bob", "VRFY bob"},
		{"VRFY", "501 5.5.4"},
		{"EXPN staff", "EXPN staff"},
		{"RSET", "RSET "},
		{"RSET  \t ", "RSET "},
		{"RSET now", "501 5.5.4"},
		{"QUIT x", "501 5.5.4"},
		{"DATA x", "501 5.5.4"},
		{"STARTTLS foo", "501 5.5.4"},
		{"", "500 5.5.2"},
		{" ", "500 5.5.2"},
		{" NOOP", "500 5.5.2"},
		{"ETRN x", "500 5.5.2"},
		{"TURN", "500 5.5.2"},
		{"XFORWARD ADDR=127.0.0.1", "500 5.5.2"},
		{"DEBUG", "500 5.5.2"},
		{"WIZ", "500 5.5.2"},
		{"GET / HTTP/1.1", "500 5.5.2"},
		{"NOOPS", "500 5.5.2"},
		{"\u017fTARTTLS", "500 5.5.2"}, // U+017F folds to S in Unicode
		{"NOOP \x00", "500 5.5.2"},
		{"NOOP \r", "500 5.5.2"},
		{"NOOP\x1b[2J", "500 5.5.2"},
		{"RCPT TO:<bob@local.test>\x00<victim@remote.test>", "500 5.5.2"},
	} {
		if got := describe(tt.line); got != tt.want {
			t.Errorf("%q: %s; want %s", tt.line, got, tt.want)
		}
	}
}

func describe(line string) string {
	cmd, f := ParseCommand([]byte(line))
	if f != nil {
		return refusal(f)
	}
	return cmd.Verb.String() + " " + cmd.Text
}

func refusal(f *Fault) string {
	code, _, _ := strings.Cut(f.Reply.String(), " ")
	return code + " " + f.Reply.Enhanced.String()
}

func TestParseMail(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"MAIL FROM:<a@b.test>", "<a@b.test> 7BIT"},
		{"mail from:<a@b.test>", "<a@b.test> 7BIT"},
		{"MAIL FROM:<>", "<> 7BIT"},
		{"MAIL FROM: <a@b.test>", "<a@b.test> 7BIT"},
		{"MAIL FROM:<a@b.test>   BODY=8BITMIME  ", "<a@b.test> 8BITMIME"},
		{"MAIL FROM:<a@b.test> body=7bit", "<a@b.test> 7BIT"},
		{"MAIL FROM:<a@b.test> BODY=BINARYMIME", "<a@b.test> BINARYMIME"},
		{`MAIL FROM:<"a > b"@b.test> BODY=8BITMIME`, `<"a > b"@b.test> 8BITMIME`},
		{`MAIL FROM:<"a\"> b"@b.test>`, `<"a\"> b"@b.test> 7BIT`},
		{"MAIL FROM:<bób@b.test> SMTPUTF8", "<bób@b.test> 7BIT"},
		{"MAIL", "501 5.5.4"},
		{"MAIL FROM <a@b.test>", "501 5.5.4"},
		{"MAIL FROM :<a@b.test>", "501 5.5.4"},
		{"MAIL TO:<a@b.test>", "501 5.5.4"},
		{"MAIL FROM:", "501 5.5.2"},
		{"MAIL FROM:a@b.test", "<a@b.test> 7BIT"},
		{"MAIL  FROM:  a@b.test  BODY=8BITMIME", "<a@b.test> 8BITMIME"},
		{"MAIL  FROM:<a@b.test>", "<a@b.test> 7BIT"},
		{"MAIL FROM:<a@b.test.>", "<a@b.test> 7BIT"},
		{"MAIL FROM:a@b.test.", "<a@b.test> 7BIT"},
		{"MAIL FROM:<a@b.test> AUTH=alice+x@local.test", "<a@b.test> 7BIT"},
		{"MAIL FROM:<a@b.test> AUTH=a=b@local.test", "<a@b.test> 7BIT"},
		{"MAIL FROM:<a..b@c.test>", `<"a..b"@c.test> 7BIT`},
		{"MAIL FROM:<.a@my_host.test>", `<".a"@my_host.test> 7BIT`},
		{"MAIL FROM:<u@em--1.a2.test>", "<u@em--1.a2.test> 7BIT"},
		{"MAIL FROM:<u@xn--.a2.test>", "<u@xn--.a2.test> 7BIT"},
		{"MAIL FROM:<" + strings.Repeat("a", 65) + "@b.test>", "<" + strings.Repeat("a", 65) + "@b.test> 7BIT"},
		{"MAIL FROM:< a@b.test >", "<a@b.test> 7BIT"},
		{"MAIL FROM: <a@b.test  > BODY=8BITMIME", "<a@b.test> 8BITMIME"},
		{`MAIL FROM:< "a b"@b.test>`, `<"a b"@b.test> 7BIT`},
		{"MAIL FROM:<  >", "<> 7BIT"},
		{"MAIL FROM:<a @b.test>", "501 5.1.7"},
		{"MAIL FROM:<a@b.test x>", "501 5.1.7"},
		{"MAIL FROM:a", "501 5.5.2"},
		{"MAIL FROM:a@b.test>", "501 5.5.2"},
		{"MAIL FROM:x<a@b.test>", "501 5.5.2"},
		{"MAIL FROM:Alice <a@b.test>", "501 5.5.2"},
		{"MAIL FROM:a@b.test<c@d.test>", "501 5.5.2"},
		{"MAIL FROM:a@b.test <c@d.test>", "501 5.5.4"},
		{"MAIL FROM:a@b.test,c@d.test", "501 5.5.2"},
		{"MAIL FROM:@x.test:a@b.test", "501 5.5.2"},
		{`MAIL FROM:"a"@b.test`, "501 5.5.2"},
		{"MAIL FROM:a@[192.0.2.1]", "501 5.5.2"},
		{"MAIL FROM:a@b@c.test", "501 5.1.7"},
		{"MAIL FROM:<a@b.test..>", "501 5.1.7"},
		{"MAIL FROM:<a@b..test>", "501 5.1.7"},
		{"MAIL FROM:<a@b.test> AUTH=", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> AUTH", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> AUTH=" + strings.Repeat("+", 501), "501 5.5.4"},
		{"MAIL FROM:<a@b.test", "501 5.5.2"},
		{`MAIL FROM:<"a@b.test>`, "501 5.5.2"},
		{"MAIL FROM:<a@b.test>BODY=7BIT", "501 5.5.2"},
		{"MAIL FROM:<a@b.test>>", "501 5.5.2"},
		{"MAIL FROM:<a@b.test>\tBODY=7BIT", "500 5.5.2"},
		{"MAIL FROM:<<a@b.test>>", "501 5.5.2"},
		{"MAIL FROM:<spamtest>", "501 5.1.7"},
		{"MAIL FROM:<LD!nobody>", "501 5.1.7"},
		{"MAIL FROM:<@x.test:a@b.test>", "501 5.1.7"},
		{"MAIL FROM:<" + strings.Repeat("a", 249) + "@b.test>", "501 5.1.7"},
		{"MAIL FROM:<bób@b.test>", "553 5.6.7"},
		{"MAIL FROM:<bob@bücher.test>", "553 5.6.7"},
		{"MAIL FROM:<a@b.test> XFOO=1", "555 5.5.4"},
		{"MAIL FROM:<a@b.test> NOTIFY=NEVER", "555 5.5.4"},
		{"MAIL FROM:<a@b.test> MT-PRIORITY=4", "555 5.5.4"},
		{"MAIL FROM:<a@b.test> SIZE", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> SIZE=", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> SIZE=-1", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> SIZE=+1", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> SIZE=abc", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> SIZE=1 SIZE=1", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> SIZE=123456789012345678901", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> BODY=8BITMIME BODY=7BIT", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> BODY=9BIT", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> SMTPUTF8=yes", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> =x", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> RET=ALL", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> ENVID=a+0D+0Ab", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> ENVID=a+0d+0ab", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> ENVID=", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> ENVID=a+7Fb", "501 5.5.4"},
		{"MAIL FROM:<a@b.test> ENVID=" + strings.Repeat("x", 101), "501 5.5.4"},
		{"MAIL FROM:<a@b.test> AUTH=a+0Ab", "<a@b.test> 7BIT"}, // names nobody: TestAuthParameter
		{"MAIL FROM:<a@b.test>" + strings.Repeat(" X=1", 11), "501 5.5.4"},
	} {
		cmd, f := ParseCommand([]byte(tt.line))
		got := cmd.Mail.From.String() + " " + cmd.Mail.Body.String()
		if f != nil {
			got = refusal(f)
		}
		if got != tt.want {
			t.Errorf("%q: %s; want %s", tt.line, got, tt.want)
		}
	}
}

func TestMailParameters(t *testing.T) {
	line := "MAIL FROM:<bób@b.test> SIZE=99999999999999999999 BODY=8BITMIME SMTPUTF8 RET=hdrs ENVID=QQ+2B1+3D2+20x AUTH=<>"
	cmd, f := ParseCommand([]byte(line))
	if f != nil {
		t.Fatal(f)
	}
	m := cmd.Mail
	if m.Size != math.MaxInt64 || !m.SizeGiven || m.Body != mail.Body8BitMIME || !m.SMTPUTF8 ||
		m.Ret != mail.RetHeaders || m.EnvID != "QQ+1=2 x" || m.Auth != "<>" {
		t.Errorf("%+v", m)
	}
	env := m.Envelope()
	if env.From != m.From || env.To != nil || env.EnvID != m.EnvID || env.Size != m.Size || env.Ret != m.Ret || !env.SMTPUTF8 {
		t.Errorf("%+v", env)
	}
	if cmd, _ := ParseCommand([]byte("MAIL FROM:<a@b.test>")); cmd.Mail.SizeGiven {
		t.Errorf("parameters out of nothing: %+v", cmd.Mail)
	}
}

// What a notification will show costs nobody his mail that is no xtext, or in small letters: it
// is what it says. RFC 3461 §4.
func TestParametersOfNotificationsAreReadWithTolerance(t *testing.T) {
	for value, want := range map[string]string{
		"QQ+2B1": "QQ+1", "QQ+2b1": "QQ+1", "a=b": "a=b", "bWFpbA==": "bWFpbA==", "a+0": "a+0", "a+0g": "a+0g", "a++2b": "a++2b", "+": "+",
	} {
		cmd, f := ParseCommand([]byte("MAIL FROM:<a@b.test> ENVID=" + value))
		if f != nil || cmd.Mail.EnvID != want {
			t.Errorf("ENVID=%s: %q, %v; want %q", value, cmd.Mail.EnvID, f, want)
		}
	}
	for value, want := range map[string]string{
		"rfc822;alice+2Blist@b.test": "alice+list@b.test", "rfc822;alice+2blist@b.test": "alice+list@b.test", "rfc822;alice+list@b.test": "alice+list@b.test",
		"rfc822;list+alice=c.test@b.test": "list+alice=c.test@b.test", "utf-8;alice+x=y@b.test": "alice+x=y@b.test", `utf-8;a+x\x{F6}@b.test`: "a+x\u00f6@b.test",
	} {
		cmd, f := ParseCommand([]byte("RCPT TO:<a@b.test> ORCPT=" + value))
		if f != nil || cmd.Rcpt.ORcpt.Address != want {
			t.Errorf("ORCPT=%s: %q, %v; want %q", value, cmd.Rcpt.ORcpt.Address, f, want)
		}
		if again, ok := AppendORcpt(nil, cmd.Rcpt.ORcpt); !ok || strings.ContainsAny(string(again), "= ") {
			t.Errorf("ORCPT=%s is sent on as %q", value, again)
		}
	}
	for value, want := range map[string]mail.Notify{"SUCCESS,SUCCESS": mail.NotifySuccess, "delay,": mail.NotifyDelay, ",NEVER": mail.NotifyNever, "FAILURE,,DELAY": mail.NotifyFailure | mail.NotifyDelay} {
		if cmd, f := ParseCommand([]byte("RCPT TO:<a@b.test> NOTIFY=" + value)); f != nil || cmd.Rcpt.Notify != want {
			t.Errorf("NOTIFY=%s: %v, %v", value, cmd.Rcpt.Notify, f)
		}
	}
}

// A value of AUTH that is no xtext names nobody. RFC 4954 §5.
func TestAuthParameter(t *testing.T) {
	for value, want := range map[string]string{
		"<>": "<>", "alice@local.test": "alice@local.test", "alice+2Bx@local.test": "alice+x@local.test",
		"alice+x@local.test": "<>", "a=b@local.test": "<>", "a+0Ab": "<>", "a+3": "<>", "+": "<>", "=": "<>", "+00": "<>",
	} {
		cmd, f := ParseCommand([]byte("MAIL FROM:<a@b.test> AUTH=" + value + " SIZE=7"))
		if f != nil || cmd.Mail.Auth != want || cmd.Mail.Size != 7 {
			t.Errorf("%q: %q, %v; want %q", value, cmd.Mail.Auth, f, want)
		}
	}
}

func TestParseRcpt(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"RCPT TO:<a@b.test>", "<a@b.test>"},
		{"RCPT TO:<Postmaster>", "<Postmaster>"},
		{"RCPT TO:<postmaster@[192.0.2.1]>", "<postmaster@[192.0.2.1]>"},
		{"RCPT TO:<bob@lоcal.test>", "<bob@xn--lcal-55d.test>"},
		{"RCPT TO:<user%remote.test@local.test>", "<user%remote.test@local.test>"},
		{`RCPT TO:<"user@remote.test"@local.test>`, `<"user@remote.test"@local.test>`},
		{"RCPT TO:a@b.test", "<a@b.test>"},
		{"RCPT TO:postmaster", "<Postmaster>"},
		{"RCPT  TO: <a@b.test.>", "<a@b.test>"},
		{"RCPT TO:user%remote.test@local.test", "<user%remote.test@local.test>"},
		{"RCPT TO:< a@b.test >", "<a@b.test>"},
		{"RCPT TO:< Postmaster>", "<Postmaster>"},
		{"RCPT TO:< >", "501 5.1.3"},
		{"RCPT TO:<a@b.test c@d.test>", "501 5.1.3"},
		{"RCPT TO:victim", "501 5.5.2"},
		{"RCPT TO:a@b.test,c@d.test", "501 5.5.2"},
		{"RCPT TO:@b.test:c@d.test", "501 5.5.2"},
		{"RCPT TO:a@b.test(c@d.test)", "501 5.5.2"},
		{"RCPT TO:a@b.test c@d.test", "501 5.5.4"},
		{`RCPT TO:"a@b.test"@d.test`, "501 5.5.2"},
		{"RCPT TO:<>", "501 5.1.3"},
		{"RCPT TO:<@a.test:b@c.test>", "501 5.1.3"},
		{"RCPT TO:<@a.test,@b.test:b@c.test>", "501 5.1.3"},
		{"RCPT TO:<a@b.test,c@d.test>", "501 5.1.3"},
		{"RCPT TO:<bob@local.test(victim@remote.test)>", "501 5.1.3"},
		{"RCPT TO:<victim@remote.test>@local.test>", "501 5.5.2"},
		{`RCPT TO:<"a>"b@c.test>`, "501 5.1.3"},
		{"RCPT TO:<a@b.test> <c@d.test>", "501 5.5.4"},
		{"RCPT TO:<a@b.test> XRRVS=1", "555 5.5.4"},
		{"RCPT TO:<a@b.test> NOTIFY=", "501 5.5.4"},
		{"RCPT TO:<a@b.test> NOTIFY=NEVER,SUCCESS", "501 5.5.4"},
		{"RCPT TO:<a@b.test> NOTIFY=EVER", "501 5.5.4"},
		{"RCPT TO:<a@b.test> NOTIFY=,", "501 5.5.4"},
		{"RCPT TO:<a@b.test> NOTIFY=DELAY NOTIFY=DELAY", "501 5.5.4"},
		{"RCPT TO:<a@b.test> ORCPT=a@b.test", "501 5.5.4"},
		{"RCPT TO:<a@b.test> ORCPT=rfc822;", "501 5.5.4"},
		{"RCPT TO:<a@b.test> ORCPT=;a@b.test", "501 5.5.4"},
		{"RCPT TO:<a@b.test> ORCPT=rfc822;a+0D+0Ab", "501 5.5.4"},
		{"RCPT TO:<a@b.test> ORCPT=rfc822;a+E2+80+A8b", "501 5.5.4"},
		{"RCPT TO:<a@b.test> ORCPT=rfc822;bób@b.test", "501 5.5.4"},
		{"RCPT TO:<a@b.test> ORCPT=utf-8;b\u2028b@b.test", "501 5.5.4"},
		{"RCPT TO:<a@b.test> ORCPT=rfc822;" + strings.Repeat("x", 500), "501 5.5.4"},
	} {
		cmd, f := ParseCommand([]byte(tt.line))
		got := cmd.Rcpt.To.String()
		if f != nil {
			got = refusal(f)
		}
		if got != tt.want {
			t.Errorf("%q: %s; want %s", tt.line, got, tt.want)
		}
	}
}

func TestRcptParameters(t *testing.T) {
	cmd, f := ParseCommand([]byte("RCPT TO:<a@b.test> NOTIFY=success,DELAY ORCPT=RFC822;a+2Bx@b.test"))
	if f != nil {
		t.Fatal(f)
	}
	r := cmd.Rcpt
	if r.Notify != mail.NotifySuccess|mail.NotifyDelay || r.ORcpt != (mail.ORcpt{Type: "rfc822", Address: "a+x@b.test"}) || r.UTF8 {
		t.Errorf("%+v", r)
	}
	for line, utf8 := range map[string]bool{
		"RCPT TO:<a@b.test>":                          false,
		"RCPT TO:<bób@b.test>":                        true,
		"RCPT TO:<a@bücher.test>":                     true, // though an A-label once it is parsed
		"RCPT TO:<a@b.test> ORCPT=utf-8;bób@b.test":   true,
		"RCPT TO:<a@b.test> ORCPT=utf-8;b\\x{F3}b@b":  false,
		"RCPT TO:<a@b.test> ORCPT=utf-8;b+C3+B3b@b.t": false,
	} {
		if cmd, f := ParseCommand([]byte(line)); f != nil || cmd.Rcpt.UTF8 != utf8 {
			t.Errorf("%q: UTF8 = %v, %v", line, cmd.Rcpt.UTF8, f)
		}
	}
}

func TestParseBdat(t *testing.T) {
	for line, want := range map[string]Chunk{
		"BDAT 0":                         {},
		"BDAT 10":                        {Size: 10},
		"bdat 86 last":                   {Size: 86, Last: true},
		"BDAT 0 LAST":                    {Last: true},
		"BDAT 9223372036854775807":       {Size: math.MaxInt64},
		"BDAT 9223372036854775808":       {Size: math.MaxInt64},
		"BDAT 99999999999999999999 LAST": {Size: math.MaxInt64, Last: true},
	} {
		if cmd, f := ParseCommand([]byte(line)); f != nil || cmd.Chunk != want {
			t.Errorf("%q: %+v, %v; want %+v", line, cmd.Chunk, f, want)
		}
	}
	for line, known := range map[string]bool{
		"BDAT": false, "BDAT ": false, "BDAT x": false, "BDAT -1": false, "BDAT +1": false, "BDAT 0x10": false,
		"BDAT 1.5": false, "BDAT  5": false, "BDAT 123456789012345678901": false, "BDAT LAST": false,
		"BDAT 5 FIRST": true, "BDAT 5 LAST LAST": true, "BDAT 5  LAST": true,
	} {
		_, f := ParseCommand([]byte(line))
		if f == nil || f.Verb != VerbBDAT || f.Reply.Code != 501 || f.ChunkKnown != known || known && f.Chunk.Size != 5 {
			t.Errorf("%q: %+v", line, f)
		}
	}
}

func TestParseAuth(t *testing.T) {
	for line, want := range map[string]string{
		"AUTH PLAIN":                  "PLAIN none",
		"auth plain":                  "PLAIN none",
		"AUTH SCRAM-SHA-256-PLUS":     "SCRAM-SHA-256-PLUS none",
		"AUTH PLAIN =":                "PLAIN ",
		"AUTH PLAIN AGEAYg==":         "PLAIN \x00a\x00b",
		"AUTH":                        "501 5.5.4",
		"AUTH ":                       "501 5.5.4",
		"AUTH PL/AIN":                 "501 5.5.4",
		"AUTH AVERYLONGMECHANISMNAME": "501 5.5.4",
		"AUTH PLAIN AGEAYg":           "501 5.5.2", // no padding
		"AUTH PLAIN AGEAYh==":         "501 5.5.2", // bits behind the end
		"AUTH PLAIN ????":             "501 5.5.2",
		"AUTH PLAIN AGEA Yg==":        "501 5.5.2",
		"AUTH PLAIN ==":               "501 5.5.2",
	} {
		cmd, f := ParseCommand([]byte(line))
		got := cmd.Auth.Mechanism + " none"
		if cmd.Auth.Initial != nil {
			got = cmd.Auth.Mechanism + " " + string(cmd.Auth.Initial)
		}
		if f != nil {
			got = refusal(f)
		}
		if got != want {
			t.Errorf("%q: %q; want %q", line, got, want)
		}
	}
}

func TestParseResponse(t *testing.T) {
	if r, cancelled, f := ParseResponse([]byte("*")); r != nil || !cancelled || f != nil {
		t.Errorf("* = %q %v %v", r, cancelled, f)
	}
	if r, cancelled, f := ParseResponse(nil); r == nil || len(r) != 0 || cancelled || f != nil {
		t.Errorf("empty = %#v %v %v", r, cancelled, f)
	}
	if r, cancelled, f := ParseResponse([]byte("=")); r == nil || len(r) != 0 || cancelled || f != nil {
		t.Errorf("= is %#v %v %v", r, cancelled, f)
	}
	for _, bad := range []string{"MAIL FROM:<alice@local.test>", "YWJj*", "==", "YW\r\nJj", "YWJ", "**"} {
		if r, cancelled, f := ParseResponse([]byte(bad)); r != nil || cancelled || f == nil || f.Reply.Code != 501 {
			t.Errorf("%q = %q %v %v", bad, r, cancelled, f)
		}
	}
	if got := string(AppendChallenge(nil, []byte("Username:"))); got != "334 VXNlcm5hbWU6\r\n" {
		t.Errorf("%q", got)
	}
	if got := string(AppendChallenge(nil, nil)); got != "334 \r\n" {
		t.Errorf("%q", got)
	}
}

// What is read from any line obeys the bounds that the rest relies on, and says
// again what it said.
func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{
		"EHLO a", "MAIL FROM:<a@b.test> SIZE=1 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=x+2B AUTH=<>", "MAIL FROM:<>",
		"RCPT TO:<\"a>\\\"\"@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b", "RCPT TO:<Postmaster>", "BDAT 5 LAST",
		"BDAT 99999999999999999999", "AUTH PLAIN AGEAYg==", "AUTH PLAIN =", "VRFY ü", "NOOP \x00", "RCPT TO:<a@b> ORCPT=utf-8;b\\x{F3}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		before := string(line)
		cmd, fault := ParseCommand(line)
		if string(line) != before {
			t.Fatal("the line was changed")
		}
		if fault != nil {
			if fault.Reply.Class() != mail.ClassPermanent || fault.Reply.Enhanced.Class != 5 {
				t.Fatalf("%q is refused with %v", line, fault)
			}
			if cmd.Verb != VerbUnknown || !cmd.Mail.From.IsZero() || cmd.Auth.Initial != nil {
				t.Fatalf("%q is refused and read: %+v", line, cmd)
			}
			return
		}
		checkCommand(t, line, cmd)
	})
}

func checkCommand(t *testing.T, line []byte, cmd Command) {
	switch cmd.Verb {
	case VerbUnknown:
		t.Fatalf("%q is accepted without a verb", line)
	case VerbMAIL:
		m := cmd.Mail
		if m.From.IsZero() || m.Size < 0 || len(m.EnvID) > MaxEnvIDOctets || !mail.IsPlain(m.EnvID) || !mail.IsPlain(m.Auth) {
			t.Fatalf("%q: %+v", line, m)
		}
		if a, ok := m.From.Address(); ok && !a.IsASCII() && !m.SMTPUTF8 {
			t.Fatalf("%q: UTF-8 without SMTPUTF8", line)
		}
		again, f := ParseCommand([]byte("MAIL FROM:" + m.From.String() + " SMTPUTF8"))
		if f != nil || again.Mail.From != m.From {
			t.Fatalf("%q does not read back: %v", line, f)
		}
	case VerbRCPT:
		r := cmd.Rcpt
		if strings.ContainsAny(r.ORcpt.Address, "\r\n\x00") || r.Notify&mail.NotifyNever != 0 && r.Notify != mail.NotifyNever {
			t.Fatalf("%q: %+v", line, r)
		}
		if again, f := ParseCommand([]byte("RCPT TO:" + r.To.String())); f != nil || again.Rcpt.To != r.To {
			t.Fatalf("%q does not read back: %v", line, f)
		}
	case VerbBDAT:
		if cmd.Chunk.Size < 0 {
			t.Fatalf("%q: %+v", line, cmd.Chunk)
		}
	case VerbEHLO, VerbHELO:
		if len(cmd.Text) > MaxHelloOctets || strings.ContainsAny(cmd.Text, "\t\r\n\x00") {
			t.Fatalf("%q: %q", line, cmd.Text)
		}
	}
}

// A path in a command is the path that the vocabulary reads, or it is refused.
func FuzzAddressPath(f *testing.F) {
	for _, s := range []string{"<a@b.test>", "<>", "<\"a> b\"@c.test>", "<@a,@b:c@d>", "<a@[IPv6:::1]>", "<Postmaster>", "<a@b> SIZE=1", "<\"\\\">\"@x>"} {
		f.Add(s)
	}
	for _, s := range []string{"a@b.test", "a..@b_c.test. SIZE=1", "a@b@c", "a@b<c@d>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		cmd, fault := ParseCommand([]byte("MAIL FROM:" + path + " SMTPUTF8"))
		want, err := mail.ParseReversePath(path, mail.UTF8)
		if err == nil && (fault != nil || cmd.Mail.From != want) {
			t.Fatalf("%q is the path %v, but the command says %v, %v", path, want, cmd.Mail.From, fault)
		}
		if fault != nil || err == nil {
			return
		}
		// What is no path, but was read, is one with blanks or parameters around it, or
		// lacks nothing but its brackets.
		word, _, _ := strings.Cut(strings.Trim(path, " \t"), " ")
		if bare, err := mail.ParseReversePath("<"+word+">", mail.UTF8); err == nil && bare == cmd.Mail.From && !strings.ContainsAny(word, "<>\",:;()") {
			return
		}
		if !strings.HasPrefix(word, "<") {
			t.Fatalf("%q is no path, but the command says %v", path, cmd.Mail.From)
		}
	})
}

func FuzzResponse(f *testing.F) {
	for _, s := range []string{"", "*", "=", "AGEAYg==", "YWJj", "YWJ", "MAIL FROM:<a@b>", "biwsbj11c2VyLHI9"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		response, cancelled, fault := ParseResponse(line)
		switch {
		case cancelled:
			if string(line) != "*" || response != nil || fault != nil {
				t.Fatalf("%q cancels", line)
			}
		case fault == nil:
			// One response has one spelling, but for an empty one.
			if got := string(AppendChallenge(nil, response)); got != "334 "+string(line)+"\r\n" && string(line) != "=" {
				t.Fatalf("%q is %q again", line, got)
			}
		case response != nil:
			t.Fatalf("%q is at fault and read", line)
		}
	})
}

// An address of the type utf-8 is read in each of the forms that it may have: in seven
// bits, in UTF-8, and as a plain address. RFC 6533 §3.
func TestUTF8ORcptIsDecoded(t *testing.T) {
	for value, want := range map[string]string{
		`utf-8;b\x{F3}b@b.test`:               "bób@b.test",
		`utf-8;b\x{f3}b@b.test`:               "bób@b.test",
		`UTF-8;a\x{2B}b\x{3D}\x{5C}c@b.test`:  `a+b=\c@b.test`,
		`utf-8;\x{5C}x{41}@b.test`:            `\x{41}@b.test`,
		`utf-8;\x{1F4E7}@b.test`:              "\U0001F4E7@b.test",
		`utf-8;bób@b.test`:                    "bób@b.test",
		`utf-8;b\x{F3}bó@b.test`:              "bóbó@b.test",
		`utf-8;"a\"b"@b.test`:                 `"a\"b"@b.test`,
		`utf-8;a\x{41@b.test`:                 `a\x{41@b.test`,
		`utf-8;a\x{}\x{G1}\x{1234567}@b.test`: `a\x{}\x{G1}\x{1234567}@b.test`,
		`utf-8;a\x{D800}\x{110000}@b.test`:    "a\uFFFD\uFFFD@b.test",
		`utf-8;a\x{0D}\x{0A}b@b.test`:         "",
		`utf-8;a\x{7F}b@b.test`:               "",
		`utf-8;a\x{202E}b@b.test`:             "",
		`rfc822;b\x{F3}b@b.test`:              `b\x{F3}b@b.test`,
	} {
		cmd, f := ParseCommand([]byte("RCPT TO:<a@b.test> ORCPT=" + value))
		if (f != nil) != (want == "") || cmd.Rcpt.ORcpt.Address != want {
			t.Errorf("%s: %q, %v; want %q", value, cmd.Rcpt.ORcpt.Address, f, want)
		}
	}
}
