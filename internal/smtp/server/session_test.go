package server

import (
	"strings"
	"testing"
)

const (
	hello = `
	S: 220 mx.local.test ESMTP
	C: EHLO client.test
	S: 250 mx.local.test / PIPELINING / SIZE 10000 / 8BITMIME / SMTPUTF8 / ENHANCEDSTATUSCODES / CHUNKING / DSN / LIMITS MAILMAX=50 RCPTMAX=5
`
	toBob = hello + `
	C: MAIL FROM:<a@remote.test>
	C: RCPT TO:<bob@local.test>
	S: 250 2.1.0
	S: 250 2.1.5
`
)

// Each transcript is one connection to port 25; delivered is what it leaves behind.
func TestDialogues(t *testing.T) {
	for name, tt := range map[string]struct{ transcript, delivered string }{
		"one message": {toBob + `
			C: DATA
			S: 354
			C: Subject: x
			C:
			C: ..dot
			C: .
			S: 250 2.0.0 queued`, "<a@remote.test> bob Subject: x\r\n\r\n.dot\r\n"},
		"HELO": {`
			S: 220
			C: HELO client.test
			S: 250 mx.local.test
			C: MAIL FROM:<>
			C: RCPT TO:<bob@local.test>
			C: DATA
			C: x
			C: .
			S: 250
			S: 250
			S: 354
			S: 250`, "<> bob x\r\n"},
		"parameters behind HELO, and no BDAT": {`
			S: 220
			C: HELO client.test
			S: 250
			C: MAIL FROM:<a@remote.test> FOO=bar
			S: 555 5.5.4
			C: MAIL FROM:<a@remote.test> SIZE=10001
			S: 552 5.3.4
			C: MAIL FROM:<a@remote.test> SIZE=10 BODY=8BITMIME
			S: 250
			C: RCPT TO:<bob@local.test> NOTIFY=NEVER
			S: 250
			C+ "BDAT 6 LAST\r\nRSET\r\n"
			S: 503 5.5.1`, ""},
		"everything in one write": {hello + `
			C: MAIL FROM:<a@remote.test>
			C: RCPT TO:<bob@local.test>
			C: RCPT TO:<victim@remote.test>
			C: DATA
			C: one
			C: .
			C: MAIL FROM:<b@remote.test>
			C: RCPT TO:<carol@local.test>
			C: DATA
			C: two
			C: .
			S: 250 2.1.0
			S: 250 2.1.5
			S: 550 5.7.1
			S: 354
			S: 250 2.0.0
			S: 250
			S: 250
			S: 354
			S: 250`, "<a@remote.test> bob one\r\n|<b@remote.test> carol two\r\n"},
		"parameters": {hello + `
			C: MAIL FROM:<bób@remote.test> BODY=8BITMIME SMTPUTF8 SIZE=100 RET=HDRS ENVID=x AUTH=<alice@local.test>
			S: 250
			C: RCPT TO:<bób@local.test> NOTIFY=SUCCESS ORCPT=rfc822;x@y.test
			S: 250
			C: DATA
			S: 354
			C: ü
			C: .
			S: 250`, "<bób@remote.test> bób ü\r\n"},
		"UTF-8 without SMTPUTF8": {hello + `
			C: MAIL FROM:<ü@remote.test>
			S: 553 5.6.7
			C: RCPT TO:<bob@local.test>
			S: 503
			C: VRFY ü
			S: 252
			C: DATA
			S: 503
			C: MAIL FROM:<a@remote.test>
			S: 250
			C: RCPT TO:<bob@lоcal.test>
			S: 553 5.6.7
			C: RCPT TO:<bob@local.test> ORCPT=utf-8;ü@x.test
			S: 553 5.6.7`, ""},

		"before EHLO": {`
			S: 220
			C: MAIL FROM:<a@remote.test>
			S: 503 5.5.1
			C: RCPT TO:<bob@local.test>
			S: 503 5.5.1
			C: DATA
			S: 503 5.5.1
			C+ "BDAT 6 LAST\r\nQUIT\r\n"
			S: 503 5.5.1
			C: NOOP
			S: 250 2.0.0
			C: HELP ../../etc/passwd
			S: 214 2.0.0
			C: VRFY root
			S: 252 2.1.5
			C: EXPN staff
			S: 252 2.1.5
			C: RSET
			S: 250 2.0.0
			C: LHLO x
			S: 502 5.5.1`, ""},
		"a refused hello is none": {`
			S: 220
			C: EHLO evil.test
			S: 550 5.7.1
			C: MAIL FROM:<a@remote.test>
			S: 503`, ""},
		"D02 DATA before RCPT": {hello + `
			C: DATA
			S: 503
			C: MAIL FROM:<a@remote.test>
			S: 250
			C: DATA
			S: 503 5.5.1
			C: RCPT TO:<bob@local.test>
			S: 250`, ""},
		"D06 RSET forgets": {toBob + `
			C: RSET
			S: 250
			C: RCPT TO:<victim@remote.test>
			S: 503
			C: DATA
			S: 503`, ""},
		"D08 nested MAIL": {toBob + `
			C: MAIL FROM:<b@remote.test>
			S: 503
			C: DATA
			S: 354
			C: x
			C: .
			S: 250`, "<a@remote.test> bob x\r\n"},
		"D10 HELO forgets": {toBob + `
			C: HELO y
			S: 250
			C: RCPT TO:<carol@local.test>
			S: 503`, ""},
		"data forgets": {toBob + `
			C: DATA
			S: 354
			C: x
			C: .
			S: 250
			C: RCPT TO:<carol@local.test>
			S: 503
			C: DATA
			S: 503`, "<a@remote.test> bob x\r\n"},
		"D30 NUL in RCPT": {hello + `
			C: MAIL FROM:<a@remote.test>
			S: 250
			C+ "RCPT TO:<bob@local.test>\x00<victim@remote.test>\r\n"
			S: 554 5.5.2
			S.`, ""},
		"D28 bare LF": {hello + `
			C+ "MAIL FROM:<a@remote.test>\nRCPT TO:<bob@local.test>\r\n"
			S: 554 5.5.2
			S.`, ""},
		"D29 bare CR": {hello + `
			C+ "NOOP\r\r\n"
			S: 554 5.5.2
			S.`, ""},
		"D32 long line": {hello + `
			C+ "NOOP ` + strings.Repeat("x", 600) + `"
			S: 500 5.5.2
			S.`, ""},
		"MAIL may be longer": {hello + `
			C: MAIL FROM:<a@remote.test> ENVID=` + strings.Repeat("+20", 100) + ` AUTH=` + strings.Repeat("x", 400) + `
			S: 250`, ""},
		"but not endless": {hello + `
			C: MAIL FROM:<a@remote.test> ENVID=` + strings.Repeat("x", 2100) + `
			S: 500 5.5.2
			S.`, ""},
		"D34 sizes": {hello + `
			C: MAIL FROM:<a@remote.test> SIZE=-1
			S: 501
			C: MAIL FROM:<a@remote.test> SIZE=99999999999999999999
			S: 552 5.3.4
			C: MAIL FROM:<a@remote.test> SIZE=10001
			S: 552 5.3.4
			C: MAIL FROM:<a@remote.test> SIZE=abc
			S: 501
			C: MAIL FROM:<a@remote.test> SIZE=10000
			S: 250`, ""},
		"D35 parameters": {hello + `
			C: MAIL FROM:<a@remote.test> BODY=8BITMIME BODY=7BIT XFOO=1
			S: 501
			C: MAIL FROM:<a@remote.test> XFOO=1
			S: 555 5.5.4
			C: MAIL FROM:<a@remote.test> BODY=BINARYMIME
			S: 555 5.6.1
			C: DATA
			S: 503`, ""},
		"too many recipients": {hello + `
			C: MAIL FROM:<a@remote.test>
			C: RCPT TO:<b1@local.test>
			C: RCPT TO:<b2@local.test>
			C: RCPT TO:<x@remote.test>
			C: RCPT TO:<b3@local.test>
			C: RCPT TO:<b4@local.test>
			C: RCPT TO:<b5@local.test>
			C: RCPT TO:<b6@local.test>
			S: 250
			S: 250
			S: 250
			S: 550
			S: 250
			S: 250
			S: 250
			S: 452 4.5.3`, ""},
		"a session's refusal of MAIL": {hello + `
			C: MAIL FROM:<banned@remote.test>
			S: 550 5.7.1
			C: RCPT TO:<bob@local.test>
			S: 503`, ""},
		"AUTH is not offered on port 25": {hello + `
			C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
			S: 502 5.5.1`, ""},
		"no TLS": {hello + `
			C: STARTTLS
			S: 502 5.5.1
			C: STARTTLS foo
			S: 501 5.5.4`, ""},
		"D45 unknown verbs": {hello + `
			C: DEBUG
			S: 500 5.5.2
			C: WIZ
			S: 500
			C: XEXCH50
			S: 500
			C: ETRN x
			S: 500
			C: XFORWARD ADDR=127.0.0.1 SOURCE=LOCAL
			S: 500`, ""},
		"D26 GET": {`
			S: 220
			C: GET / HTTP/1.1
			S: 500 5.5.2
			S.`, ""},
		"D26 a header field": {hello + `
			C: Host: mx.local.test
			S: 500 5.5.2
			S.`, ""},

		"BDAT": {toBob + `
			C+ "BDAT 4\r\nab\r\nBDAT 0\r\nBDAT 5 LAST\r\n.\r\nc\r\nNOOP\r\n"
			S: 250 2.0.0 received 4
			S: 250 2.0.0 received 0
			S: 554 5.5.2
			S.`, ""},
		"BDAT joins chunks": {toBob + `
			C+ "BDAT 5\r\nab\r\n.BDAT 0\r\nBDAT 5 LAST\r\n\r\nc\r\nNOOP\r\n"
			S: 250 2.0.0 received 5
			S: 250 2.0.0 received 0
			S: 250 2.0.0 queued
			S: 250 2.0.0 ok`, "<a@remote.test> bob ab\r\n.\r\nc\r\n"},
		"a CRLF over two chunks": {toBob + `
			C+ "BDAT 2\r\na\rBDAT 1 LAST\r\n\n"
			S: 250
			S: 250 2.0.0 queued`, "<a@remote.test> bob a\r\n"},
		"a CR at the very end": {toBob + `
			C+ "BDAT 2 LAST\r\na\r"
			S: 554 5.5.2
			S.`, ""},
		"F01 BDAT without MAIL": {hello + `
			C+ "BDAT 10 LAST\r\nMAIL FROM:"
			S: 503 5.5.1`, ""},
		"F02 BDAT without recipients": {hello + `
			C: MAIL FROM:<a@remote.test>
			S: 250
			C+ "BDAT 31 LAST\r\nRSET\r\nMAIL FROM:<a@remote.test>"
			S: 503 5.5.1`, ""},
		"F07 BDAT 0 LAST": {toBob + `
			C: BDAT 0 LAST
			S: 250 2.0.0`, "<a@remote.test> bob "},
		"F08 BDAT then DATA": {toBob + `
			C+ "BDAT 5\r\nabc\r\nDATA\r\n"
			S: 250
			S: 503 5.5.1
			C: DATA
			S: 503 5.5.1
			C+ "BDAT 5 LAST\r\nabc\r\n"
			S: 503 5.5.1`, ""},
		"F11 BDAT then MAIL": {toBob + `
			C+ "BDAT 5\r\nabc\r\nMAIL FROM:<b@remote.test>\r\nRCPT TO:<bob@local.test>\r\n"
			S: 250
			S: 503
			S: 503`, ""},
		"F11 BDAT then STARTTLS": {toBob + `
			C+ "BDAT 5\r\nabc\r\nSTARTTLS\r\n"
			S: 250
			S: 503`, ""},
		"BDAT then RSET": {toBob + `
			C+ "BDAT 5\r\nabc\r\nNOOP\r\nRSET\r\nMAIL FROM:<b@remote.test>\r\n"
			S: 250 2.0.0 received 5
			S: 250 2.0.0 ok
			S: 250 2.0.0 reset
			S: 250 2.1.0`, ""},
		"BDAT then EHLO": {toBob + `
			C+ "BDAT 5\r\nabc\r\nEHLO again.test\r\n"
			S: 250 2.0.0 received 5
			S: 250 mx.local.test / PIPELINING
			C+ "BDAT 5 LAST\r\nabc\r\n"
			S: 503`, ""},
		"BDAT then QUIT": {toBob + `
			C+ "BDAT 5\r\nabc\r\nQUIT\r\n"
			S: 250
			S: 221
			S.`, ""},
		"F13 too large": {toBob + `
			C+ "BDAT 9999\r\n` + strings.Repeat(`0123456789abcdef\r\n`, 555) + `xxxxxxxxx"
			S: 250
			C+ "BDAT 2\r\n\r\n"
			S: 552 5.3.4
			C+ "BDAT 5 LAST\r\nabc\r\n"
			S: 503`, ""},
		"too large at once": {toBob + `
			C+ "BDAT 10001 LAST\r\n` + strings.Repeat("x", 10001) + `"
			S: 552 5.3.4
			C: DATA
			S: 503`, ""},
		"too large to read": {toBob + `
			C: BDAT 99999999999999999999 LAST
			S: 552 5.3.4
			S.`, ""},
		"D18 BDAT fault": {toBob + `
			C: BDAT x
			S: 501 5.5.4
			C: DATA
			S: 503`, ""},
		"a fault with a size": {toBob + `
			C+ "BDAT 6 FIRST\r\nRSET\r\nDATA\r\n"
			S: 501 5.5.4
			S: 503`, ""},
		"a fault within a sequence": {toBob + `
			C+ "BDAT 5\r\nabc\r\nFOO\r\nBDAT 5 LAST\r\nabc\r\n"
			S: 250
			S: 500
			S: 503`, ""},
		"F12 one too small": {toBob + `
			C+ "BDAT 4 LAST\r\nabc\r\nMAIL FROM:<b@remote.test>\r\n"
			S: 554 5.5.2
			S.`, ""},

		"refused without reading": {strings.ReplaceAll(toBob, "bob", "lazy") + `
			C: DATA
			S: 354
			C: x
			C: .
			S: 554 5.7.1
			C: MAIL FROM:<a@remote.test>
			S: 250`, ""},
		"chunks refused without reading": {strings.ReplaceAll(toBob, "bob", "lazy") + `
			C+ "BDAT 5\r\nabc\r\nBDAT 5 LAST\r\nabc\r\n"
			S: 554 5.7.1
			S: 503`, ""},
		"a 250 that is a lie is not sent": {strings.ReplaceAll(toBob, "bob", "liar") + `
			C: DATA
			S: 354
			C: x
			C: .
			S: 451 4.3.0`, ""},
		"nor half a lie": {strings.ReplaceAll(toBob, "bob", "short") + `
			C+ "BDAT 5\r\nabc\r\nBDAT 5 LAST\r\nabc\r\n"
			S: 451 4.3.0
			S: 503`, ""},
		"no reply is a temporary failure": {strings.ReplaceAll(toBob, "bob", "mute") + `
			C: DATA
			S: 354
			C: x
			C: .
			S: 451 4.3.0`, ""},
		"421 closes": {strings.ReplaceAll(toBob, "bob", "bye") + `
			C: DATA
			S: 354
			C: x
			C: .
			S: 421 4.3.2
			S.`, ""},
		"larger than SIZE": {toBob + `
			C: DATA
			S: 354
			C+ "` + strings.Repeat(`0123456789abcdef\r\n`, 600) + `.\r\n"
			S: 552 5.3.4`, ""},
		"much larger than SIZE": {toBob + `
			C: DATA
			S: 354
			C+ "` + strings.Repeat(`0123456789abcdef\r\n`, 6000) + `.\r\n"
			S: 552 5.3.4
			S.`, ""},
		"a long line of text": {toBob + `
			C: DATA
			S: 354
			C+ "` + strings.Repeat("x", 2001) + `\r\n.\r\n"
			S: 500 5.5.2
			S.`, ""},
		"D21 the client leaves": {toBob + `
			C: DATA
			S: 354
			C+ "abc\r\n."
			CLOSE
			S.`, ""},
		"F14 the client leaves mid-chunk": {toBob + `
			C+ "BDAT 10 LAST\r\nabc\r\n"
			CLOSE
			S.`, ""},
		"the client leaves between chunks": {toBob + `
			C+ "BDAT 5\r\nabc\r\n"
			S: 250
			CLOSE
			S.`, ""},
		"a command without its end is none": {hello + `
			C+ "MAIL FROM:<a@remote.test>"
			CLOSE
			S.`, ""},
		"QUIT mid-transaction": {toBob + `
			C: QUIT
			C: NOOP
			S: 221 2.0.0
			S.`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := &memory{}
			play(t, testConfig(KindMX), nil, m, tt.transcript)
			if got := m.delivered(); got != tt.delivered {
				t.Errorf("delivered %q; want %q", got, tt.delivered)
			}
		})
	}
}

// Section E: each end of data that is none, with a second message behind it. Either
// it is text of the one message, or it is refused and the connection closed.
func TestSmuggling(t *testing.T) {
	const second = `MAIL FROM:<admin@local.test>\r\nRCPT TO:<bob@local.test>\r\nDATA\r\nsecond\r\n.\r\n`
	for end, reply := range map[string]string{
		`\n.\r\n`: "554", `\n.\r`: "554", `\r.\n`: "554", `\r.\r`: "554", `\n.\n`: "554", `\r\n.\n`: "554",
		`\r\n.\r`: "554", `\n\n.\r\n`: "554", `\r\r\n.\r\r\n`: "554", `\r\n.\r\r\n`: "554",
		`\r\n.\x00\r\n`: "554", `\r\n\x00.\r\n`: "554", `\n\n.\r\n\r\n`: "554", `\nX\n`: "554",
		`\r\n.\t\r\n`: "250", `\r\n. \r\n`: "250", `\x0b.\x0b`: "250", `\x0c.\x0c`: "250",
		`\u0085.\u0085`: "250", `\u2028.\u2028`: "250", strings.Repeat("x", 1800) + `\r\n..\r\n`: "250",
	} {
		t.Run(end[:min(len(end), 20)], func(t *testing.T) {
			m := &memory{}
			tail := "\nS."
			if reply == "250" {
				tail = ""
			}
			play(t, testConfig(KindMX), nil, m, toBob+`
				C: DATA
				S: 354
				C+ "Subject: first\r\n\r\nx`+end+second+`"
				S: `+reply+tail)
			want := 0
			if reply == "250" {
				want = 1
			}
			if n := len(m.snapshot()); n != want {
				t.Errorf("%d messages; want %d", n, want)
			}
		})
	}
}
