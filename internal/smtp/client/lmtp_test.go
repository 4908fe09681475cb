package client

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/mail"
)

const lhlo = "S: 220 lmtp\nC: LHLO client.test\nS: 250-lmtp\nS: 250 PIPELINING\n"

func lmtp(t *testing.T, script string, env mail.Envelope, text string) ([]mail.Outcome, error, string) {
	t.Helper()
	addr, sent := serve(t, script, nil)
	o := options(t)
	o.LMTP = true
	c, err := dial(t, addr, o)
	check(t, err)
	out, err := c.Send(t.Context(), env, int64(len(text)), strings.NewReader(text))
	c.Close()
	return out, err, sent()
}

// RFC 2033 §4.2: one reply for each recipient that was accepted, in their order.
func TestLMTPAnswersForEachRecipient(t *testing.T) {
	three := envelope(t, "s@y.test", "a@x.test", "b@x.test", "c@x.test")
	for name, row := range map[string]struct {
		script, want string
		fails        bool
	}{
		"all":  {"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n.\nS: 250 a\nS: 452 4.2.2 full\nS: 550 5.2.1 no\nstall", "250 452 550", false},
		"some": {"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 550 who\nS: 250 ok\nS: 354 go\n.\nS: 552 a\nS: 250 c\nstall", "552 550 250", false},
		"none": {"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 550 who\nS: 550 who\nS: 550 who\nS: 503 nobody\nstall", "550 550 550", false},
		// A server that wants a message for nobody would give no reply to it.
		"nobody": {"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 550 who\nS: 550 who\nS: 550 who\nS: 354 go\neof", "550 550 550", true},
		// Whoever was answered before the end keeps the answer; the others wait.
		"breaks off":   {"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n.\nS: 250 a\nreset", "250 451 451", true},
		"one too many": {"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 550 who\nS: 550 who\nS: 354 go\n.\nS* 250 a\\r\\n250 b\\r\\n\nstall", "250 550 550", true},
		"hangs up":     {"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n.\nS: 250 a\nS: 421 4.3.2 down\nstall", "250 421 421", true},
		"nonsense":     {"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n.\nS: 250 a\nS: 354 more\neof", "250 451 451", true},
		"too early":    {"C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS* 354 go\\r\\n250 a\\r\\n250 b\\r\\n\nstall", "451 451 451", true},
	} {
		t.Run(name, func(t *testing.T) {
			out, err, _ := lmtp(t, lhlo+row.script, three, letter)
			if codes(out) != row.want || (err != nil) != row.fails {
				t.Errorf("%s, %v; want %s", codes(out), err, row.want)
			}
		})
	}
}

// More replies than are ever under way in SMTP, while nobody waits for them yet.
func TestLMTPWithManyRecipients(t *testing.T) {
	var to []string
	script := strings.Replace(lhlo, "S: 250 PIPELINING\n", "S: 250-PIPELINING\nS: 250 CHUNKING\n", 1) + "C: MAIL\n"
	const n = 250
	answers := strings.Repeat("S: 250 ok\n", n)
	for i := range n {
		to = append(to, fmt.Sprintf("r%d@x.test", i))
		script += "C: RCPT\n"
		// The client waits after each hundred commands.
		if i%100 == 98 {
			script += strings.Repeat("S: 250 ok\n", 100)
		}
	}
	script += strings.Repeat("S: 250 ok\n", 51) + "BDAT\n" + answers + "stall"
	out, err, _ := lmtp(t, script, envelope(t, "s@y.test", to...), letter)
	if err != nil || strings.Count(codes(out), "250") != n {
		t.Errorf("%v: %s", err, codes(out))
	}
}

// A server that knows no BDAT says so at once; who answered for one recipient knows it.
func TestLMTPWithoutChunks(t *testing.T) {
	hello := strings.Replace(lhlo, "S: 250 PIPELINING\n", "S: 250-PIPELINING\nS: 250 CHUNKING\n", 1)
	const accepted = "C: MAIL\nC: RCPT\nC: RCPT\nS: 250 ok\nS: 250 ok\nS: 250 ok\nBDAT\n"
	for script, want := range map[string]string{"S: 500 what?\neof": "451 451", "S: 250 ok\nS: 503 5.3.0 broken\nstall": "250 503"} {
		out, _, _ := lmtp(t, hello+accepted+script, envelope(t, "s@y.test", "a@x.test", "b@x.test"), letter)
		if codes(out) != want || OfferUnkept(out[1]) != strings.HasPrefix(want, "451") {
			t.Errorf("%s: %v", script, out)
		}
	}
}

// A header section in UTF-8 is stored as it is; an address in UTF-8 is not made up.
func TestLMTPWithoutSMTPUTF8(t *testing.T) {
	env := envelope(t, "s@y.test", "a@x.test")
	env.SMTPUTF8 = true
	out, err, sent := lmtp(t, lhlo+"C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n.\nS: 250 a\nstall", env, "Subject: ü\r\n\r\n")
	if err != nil || codes(out) != "250" || strings.Contains(sent, "SMTPUTF8") {
		t.Errorf("%v %v: %s", out, err, sent)
	}
	env = envelope(t, "sé@y.test", "a@x.test")
	out, err, sent = lmtp(t, lhlo+"eof", env, letter)
	if err != nil || codes(out) != "550" || strings.Contains(sent, "MAIL") {
		t.Errorf("%v %v: %s", out, err, sent)
	}
}

// A server that knows no LHLO speaks no LMTP, and is not greeted otherwise.
func TestLMTPIsNotSpokenToSMTP(t *testing.T) {
	addr, sent := serve(t, "S: 220 smtp\nC: LHLO client.test\nS: 502 what\neof", nil)
	o := options(t)
	o.LMTP = true
	_, err := dial(t, addr, o)
	var refused *ReplyError
	if !errors.As(err, &refused) || refused.Stage != StageHello || ReplyFor(err).Class() != mail.ClassTransient {
		t.Error(err)
	}
	sent()
}

func TestVerify(t *testing.T) {
	for name, row := range map[string]struct {
		script, want string
		err          error // what the error is, or nil
	}{
		"pipelined":   {"S: 250-mx\nS: 250-SIZE 100\nS: 250 PIPELINING\nC: MAIL FROM:<>\nC: RCPT TO:<A@x.test>\nC: RCPT TO:<b@x.test>\nC: RSET\nS: 250 ok\nS: 250 ok\nS: 550 5.1.1 who\nS: 250 ok\nstall", "250 550", nil},
		"in turn":     {"S: 250 mx\nC: MAIL FROM:<>\nS: 250 ok\nC: RCPT TO:<A@x.test>\nS: 451 later\nC: RCPT TO:<b@x.test>\nS: 251 will forward\nC: RSET\nS: 250 ok\nstall", "451 250", nil},
		"no senders":  {"S: 250 mx\nC: MAIL FROM:<>\nS: 550 no bounces\nstall", "", &ReplyError{}},
		"down":        {"S: 250 mx\nC: MAIL FROM:<>\nS: 421 down\nstall", "", &ReplyError{}},
		"out of step": {"S: 250-mx\nS: 250 PIPELINING\nC: MAIL FROM:<>\nC: RCPT\nC: RCPT\nC: RSET\nS* 250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n250 more\\r\\n\nstall", "250 250", nil},
		"silent":      {"S: 250 mx\nC: MAIL FROM:<>\nS: 250 ok\nC: RCPT\nstall", "", ErrTimeout},
		"nonsense":    {"S: 250 mx\nC: MAIL FROM:<>\nS: 250 ok\nC: RCPT\nS: 354 go\neof", "", ErrProtocol},
		"gone":        {"S: 250 mx\nC: MAIL FROM:<>\nreset", "", ErrLost},
	} {
		t.Run(name, func(t *testing.T) {
			addr, sent := serve(t, honest+row.script, nil)
			c, err := dial(t, addr, options(t))
			check(t, err)
			replies, err := c.Verify(t.Context(), []mail.Address{address(t, "A@x.test"), address(t, "b@x.test")})
			var got []string
			for _, r := range replies {
				got = append(got, fmt.Sprint(r.Code))
			}
			var refused *ReplyError
			switch _, wantReply := row.err.(*ReplyError); {
			case strings.Join(got, " ") != row.want:
				t.Errorf("%v, want %s", got, row.want)
			case wantReply && !errors.As(err, &refused), !wantReply && !errors.Is(err, row.err), row.err == nil && err != nil:
				t.Errorf("error %v, want %v", err, row.err)
			}
			c.Close()
			if wire := sent(); strings.Contains(wire, "DATA") || strings.Contains(wire, "SIZE=") {
				t.Errorf("the question was %q", wire)
			}
		})
	}
}

// The connection of a question carries the next one, and then a message.
func TestVerifyLeavesTheConnectionFree(t *testing.T) {
	question := "C: MAIL FROM:<>\nS: 250 ok\nC: RCPT\nS: 550 5.1.1 who\nC: RSET\nS: 250 ok\n"
	addr, _ := serve(t, honest+"S: 250 mx\n"+question+"C: MAIL FROM:<>\nS: 451 busy\n"+question+
		"C: MAIL FROM:<s@y.test>\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n.\nS: 250 ok\nstall", nil)
	c, err := dial(t, addr, options(t))
	check(t, err)
	for i, fails := range []bool{false, true, false} {
		if _, err := c.Verify(t.Context(), []mail.Address{address(t, "a@x.test")}); (err != nil) != fails || !c.Usable() {
			t.Fatalf("question %d: %v, usable %v", i, err, c.Usable())
		}
	}
	out, err := c.Send(t.Context(), envelope(t, "s@y.test", "a@x.test"), int64(len(letter)), strings.NewReader(letter))
	if err != nil || codes(out) != "250" {
		t.Errorf("%v %v", out, err)
	}
}
