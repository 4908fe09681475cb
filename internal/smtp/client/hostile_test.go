package client

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
)

const letter = "Subject: x\r\n\r\nHello\r\n"

// codes writes the outcomes' reply codes with a space between them.
func codes(out []mail.Outcome) string {
	var words []string
	for _, o := range out {
		word, _, _ := strings.Cut(o.Reply.String(), " ")
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// Each row is a server that misbehaves while a message to a@x.test and b@x.test is
// sent. want are the codes of the two outcomes: 2yz would be a delivery.
func TestHostileServers(t *testing.T) {
	const hello, piped, chunks = "S: 220 mx\nC: EHLO\nS: 250 mx\n", "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 PIPELINING\n", "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250-PIPELINING\nS: 250 CHUNKING\n"
	const mailRcpt = "C: MAIL FROM:<s@y.test>\nS: 250 ok\nC: RCPT TO:<a@x.test>\nS: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\n"
	const all = "C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\n"
	for _, row := range []struct {
		name, script, want string
		err                error // that the connection is of no more use because of; nil: it stays usable
	}{
		{"an honest one", hello + mailRcpt + "C: DATA\nS: 354 go\n.\nS: 250 2.0.0 ok\nstall", "250 250", nil},
		{"an honest one, pipelined", piped + all + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n.\nS: 250 ok\nstall", "250 250", nil},
		{"an honest one, all replies in one packet", piped + all + `S* 250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n` + "\n.\nS: 250 ok\nstall", "250 250", nil},
		{"an honest one, replies octet by octet", piped + all + "S* 25\npause\n" + `S* 0 o` + "\npause\n" + `S* k\r` + "\npause\n" + `S* \n250 ok\r\n250 ok\r\n354 go\r\n` + "\n.\nS: 250 ok\nstall", "250 250", nil},
		{"an honest one with chunks", chunks + "C: MAIL\nC: RCPT\nC: RCPT\nS: 250 ok\nS: 250 ok\nS: 250 ok\nBDAT\nS: 250 ok\nstall", "250 250", nil},
		{"a multi-line end", hello + mailRcpt + "C: DATA\nS: 354 go\n.\nS: 250-2.0.0 a\nS: 250 2.0.0 b\nstall", "250 250", nil},

		{"MAIL refused", hello + "C: MAIL\nS: 550 5.7.1 no\nstall", "550 550", nil},
		{"MAIL put off, pipelined", piped + all + "S: 451 4.7.1 later\nS: 503 no\nS: 503 no\nS: 503 no\nstall", "451 451", nil},
		{"one recipient refused", hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 550 5.1.1 who\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n.\nS: 250 ok\nstall", "550 250", nil},
		{"all recipients refused", hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 550 5.1.1 who\nC: RCPT\nS: 450 later\nstall", "550 450", nil},
		{"all recipients refused, DATA refused", piped + all + "S: 250 ok\nS: 550 no\nS: 550 no\nS: 554 no\nstall", "550 550", nil},
		{"all recipients refused, DATA wanted", piped + all + "S: 250 ok\nS: 550 no\nS: 550 no\nS: 354 go\nC: .\nS: 554 nothing\nstall", "550 550", nil},
		{"all recipients refused, DATA wanted and taken", piped + all + "S: 250 ok\nS: 550 no\nS: 550 no\nS: 354 go\nC: .\nS: 250 ok\nstall", "550 550", nil},
		{"old code for too many recipients", hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 552 too many\nC: DATA\nS: 354 go\n.\nS: 250 ok\nstall", "250 452", nil},
		{"a full mailbox", hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 552 5.2.2 full\nC: DATA\nS: 354 go\n.\nS: 250 ok\nstall", "250 552", nil},
		{"DATA refused", hello + mailRcpt + "C: DATA\nS: 554 5.6.0 no\nstall", "554 554", nil},
		{"message refused", hello + mailRcpt + "C: DATA\nS: 354 go\n.\nS: 554 5.7.1 spam\nstall", "554 554", nil},
		{"chunk refused", chunks + "C: MAIL\nC: RCPT\nC: RCPT\nS: 250 ok\nS: 250 ok\nS: 250 ok\nBDAT\nS: 552 5.3.4 large\nstall", "552 552", nil},

		{"354 to MAIL", hello + "C: MAIL\nS: 354 go\neof", "451 451", ErrProtocol},
		{"220 to MAIL", hello + "C: MAIL\nS: 220 mx\neof", "451 451", ErrProtocol},
		{"354 to RCPT", hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 354 go\neof", "451 451", ErrProtocol},
		{"221 to RCPT", hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 221 bye\neof", "451 451", ErrProtocol},
		{"250 to DATA", hello + mailRcpt + "C: DATA\nS: 250 ok\neof", "451 451", ErrProtocol},
		{"354 to the end of data", hello + mailRcpt + "C: DATA\nS: 354 go\n.\nS: 354 more\neof", "451 451", ErrProtocol},
		{"221 to the end of data", hello + mailRcpt + "C: DATA\nS: 354 go\n.\nS: 221 bye\neof", "451 451", ErrProtocol},
		{"RCPT accepted though MAIL was not", piped + all + "S: 550 no\nS: 250 ok\nstall", "550 550", ErrProtocol},
		{"codes that disagree", hello + "C: MAIL\nS: 250-ok\nS: 550 no\neof", "451 451", ErrProtocol},
		{"codes that disagree at the end", hello + mailRcpt + "C: DATA\nS: 354 go\n.\nS: 250-ok\nS: 550 no\neof", "451 451", ErrProtocol},
		{"no code", hello + "C: MAIL\nS: ok\neof", "451 451", ErrProtocol},
		{"a code beyond", hello + mailRcpt + "C: DATA\nS: 354 go\n.\nS: 950 ok\neof", "451 451", ErrProtocol},
		{"bare LF", hello + "C: MAIL\n" + `S* 250 ok\n` + "\neof", "451 451", ErrProtocol},
		{"bare CR", hello + "C: MAIL\n" + `S* 250 x\r250 y\r\n` + "\neof", "451 451", ErrProtocol},
		{"NUL", hello + "C: MAIL\n" + `S* 250 x\0\r\n` + "\neof", "451 451", ErrProtocol},
		{"a line without end", hello + "C: MAIL\nS* 250 " + strings.Repeat("x", 5000) + "\neof", "451 451", ErrProtocol},
		{"a reply without end", hello + "C: MAIL\nflood", "451 451", ErrProtocol},
		{"a reply without end after the message", hello + mailRcpt + "C: DATA\nS: 354 go\n.\nflood", "451 451", ErrProtocol},

		{"two replies to MAIL", hello + "C: MAIL\n" + `S* 250 x\r\n250 y\r\n` + "\neof", "451 451", ErrProtocol},
		{"success before the end of data", hello + mailRcpt + "C: DATA\n" + `S* 354 go\r\n250 ok\r\n` + "\neof", "451 451", ErrProtocol},
		{"success before the end of data, pipelined", piped + all + `S* 250 a\r\n250 b\r\n250 c\r\n354 go\r\n250 ok\r\n` + "\neof", "451 451", ErrProtocol},
		{"success before BDAT", chunks + "C: MAIL\nC: RCPT\nC: RCPT\n" + `S* 250 a\r\n250 b\r\n250 c\r\n250 ok\r\n` + "\neof", "451 451", ErrProtocol},
		{"half a success before the end of data", hello + mailRcpt + "C: DATA\n" + `S* 354 go\r\n25` + "\npause\n" + `S* 0 ok\r\n` + "\neof", "451 451", ErrProtocol},
		{"more after the end", hello + mailRcpt + "C: DATA\nS: 354 go\n.\n" + `S* 250 ok\r\n250 ok\r\n` + "\neof", "250 250", ErrProtocol},

		{"421 to MAIL", hello + "C: MAIL\nS: 421 4.3.2 closing\neof", "421 421", &ReplyError{}},
		{"421 to RCPT", hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 421 4.3.2 closing\neof", "421 421", &ReplyError{}},
		{"421 after a refusal", hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 550 no\nC: RCPT\nS: 421 4.3.2 closing\neof", "550 421", &ReplyError{}},
		{"421 to DATA", hello + mailRcpt + "C: DATA\nS: 421 4.3.2 closing\neof", "421 421", &ReplyError{}},
		{"421 to the end of data", hello + mailRcpt + "C: DATA\nS: 354 go\n.\nS: 421 4.3.2 closing\neof", "421 421", &ReplyError{}},
		{"421 among pipelined replies", piped + all + "S: 250 ok\nS: 421 4.7.0 enough", "421 421", &ReplyError{}},

		{"lost before MAIL's reply", hello + "C: MAIL", "451 451", ErrLost},
		{"lost after a recipient", hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 550 no\nC: RCPT", "550 451", ErrLost},
		{"reset before DATA's reply", hello + mailRcpt + "C: DATA\nreset", "451 451", ErrLost},
		{"lost in the message", hello + mailRcpt + "C: DATA\nS: 354 go\nC: Subject", "451 451", ErrLost},
		{"lost after the message", hello + mailRcpt + "C: DATA\nS: 354 go\n.", "451 451", ErrLost},
		{"lost in the midst of the last reply", hello + mailRcpt + "C: DATA\nS: 354 go\n.\n" + `S* 250 o`, "451 451", ErrLost},
		{"lost in the midst of the last reply's lines", hello + mailRcpt + "C: DATA\nS: 354 go\n.\n" + `S* 250-ok\r\n`, "451 451", ErrLost},
		{"closed after the last reply", hello + mailRcpt + "C: DATA\nS: 354 go\n.\nS: 250 ok", "250 250", ErrLost},

		{"silent at MAIL", hello + "C: MAIL\nstall", "451 451", ErrTimeout},
		{"dripping at MAIL", hello + "C: MAIL\ndrip", "451 451", ErrTimeout},
		{"dripping at RCPT", hello + "C: MAIL\nS: 250 ok\nC: RCPT\ndrip", "451 451", ErrTimeout},
		{"dripping at DATA", hello + mailRcpt + "C: DATA\ndrip", "451 451", ErrTimeout},
		{"silent after the message", hello + mailRcpt + "C: DATA\nS: 354 go\n.\nstall", "451 451", ErrTimeout},
		{"dripping after the message", hello + mailRcpt + "C: DATA\nS: 354 go\n.\nS* 250-\ndrip", "451 451", ErrTimeout},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			addr, _ := serve(t, row.script, nil)
			o := options(t)
			if row.err == ErrTimeout {
				o.Timeouts.Mail, o.Timeouts.DataDone = 150*time.Millisecond, 150*time.Millisecond
				o.Timeouts.Rcpt, o.Timeouts.DataInit = 150*time.Millisecond, 150*time.Millisecond
			}
			c, err := dial(t, addr, o)
			check(t, err)
			out, err := c.Send(t.Context(), envelope(t, "s@y.test", "a@x.test", "b@x.test"), int64(len(letter)), strings.NewReader(letter))
			if got := codes(out); got != row.want {
				t.Errorf("outcomes %s, want %s: %v, %v", got, row.want, out, err)
			}
			if row.name == "closed after the last reply" {
				<-c.c.dead // whether Send saw the end or not is a matter of timing
				err = c.c.fault(StageIdle)
			}
			expectEnd(t, c, err, row.err)
		})
	}
}

// expectEnd checks why the connection is of no more use, or that it is.
func expectEnd(t *testing.T, c *Client, err, want error) {
	t.Helper()
	var refused *ReplyError
	_, wantsReply := want.(*ReplyError)
	switch {
	case want == nil && (err != nil || !c.Usable()):
		t.Errorf("the connection is not usable: %v", err)
	case want != nil && c.Usable():
		t.Error("the connection is still usable")
	case wantsReply && (!errors.As(err, &refused) || refused.Reply.Code != 421):
		t.Errorf("the error is %v, want a 421", err)
	case want != nil && !wantsReply && !errors.Is(err, want):
		t.Errorf("the error is %v, want %v", err, want)
	}
}

func TestServersThatRefuseTheConnection(t *testing.T) {
	for _, row := range []struct {
		name, script string
		code         int // of the *ReplyError, 0 for an error of the connection
		err          error
	}{
		{"greeting 554", "S: 554 5.7.1 go away\neof", 554, nil},
		{"greeting 421", "S: 421 4.3.2 busy\neof", 421, nil},
		{"greeting 250", "S: 250 hello\neof", 250, nil},
		{"silent", "stall", 0, ErrTimeout},
		{"dripping", "drip", 0, ErrTimeout},
		{"closing", "", 0, ErrLost},
		{"endless greeting", "flood", 0, ErrProtocol},
		{"two greetings", `S* 220 mx\r\n250 mx\r\n` + "\neof", 0, ErrProtocol},
		{"EHLO put off", "S: 220 mx\nC: EHLO\nS: 451 4.3.2 later\neof", 451, nil},
		{"EHLO and HELO refused", "S: 220 mx\nC: EHLO\nS: 550 no\nC: HELO\nS: 550 5.7.1 no\neof", 550, nil},
		{"closing at EHLO", "S: 220 mx\nC: EHLO", 0, ErrLost},
		{"dripping at EHLO", "S: 220 mx\nC: EHLO\nS* 250-mx\\r\\n\ndrip", 0, ErrTimeout},
		{"endless EHLO", "S: 220 mx\nC: EHLO\nflood", 0, ErrProtocol},
		{"HTTP", "S: HTTP/1.1 400 Bad Request\neof", 0, ErrProtocol},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			addr, _ := serve(t, row.script, nil)
			o := options(t)
			o.Timeouts.Greeting, o.Timeouts.Hello = 150*time.Millisecond, 150*time.Millisecond
			c, err := dial(t, addr, o)
			if c != nil || err == nil {
				t.Fatal("the server was taken")
			}
			var refused *ReplyError
			if errors.As(err, &refused) != (row.code != 0) || row.code != 0 && refused.Reply.Code != row.code {
				t.Errorf("the error is %v", err)
			}
			if row.err != nil && !errors.Is(err, row.err) {
				t.Errorf("the error is %v, want %v", err, row.err)
			}
			if r := ReplyFor(err); r.Class() != mail.ClassTransient {
				t.Errorf("a fault of the route costs the message: %v", r)
			}
		})
	}
}

// A server that does not do what it offers has said nothing of the message, and is asked again without that.
func TestOffersThatAreNotKept(t *testing.T) {
	const hello, all = "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250-%s\nS: 250 ok\n", "C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\n"
	const step = "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\n"
	for _, row := range []struct {
		name, offered, script, want, unkept string
		open                                bool // who may be asked again at once
	}{
		{"BDAT is not known", "CHUNKING", step + "BDAT\nS: 500 5.5.1 what?\neof", "451 451", "CHUNKING", true},
		{"BDAT is read as commands", "CHUNKING", step + "C: BDAT\nS: 502 what?\nstall", "451 451", "CHUNKING", true},
		{"BDAT is out of order", "CHUNKING", step + "BDAT\nS: 503 5.5.1 RCPT first\neof", "451 451", "CHUNKING", true},
		{"a chunk is refused for the message", "CHUNKING", step + "BDAT\nS: 554 5.7.1 spam\nstall", "554 554", "", false},
		{"RCPT came too early", "PIPELINING", all + "S: 250 ok\nS: 503 5.5.0 pipelining\nS: 503 5.5.0 pipelining\nS: 503 no\nstall", "451 451", "PIPELINING", true},
		{"DATA came too early", "PIPELINING", all + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 503 5.5.0 pipelining\nstall", "451 451", "PIPELINING", true},
		{"out of order without reason", "X", "C: MAIL\nS: 250 ok\nC: RCPT\nS: 503 5.5.1 no\nC: RCPT\nS: 503 5.5.1 no\nstall", "503 503", "", false},
		{"SIZE is not taken", "SIZE 1000", "C: MAIL FROM:<s@y.test> SIZE\nS: 555 5.5.4 no\nstall", "451 451", "SIZE", true},
		{"a sender is refused", "SIZE 1000", "C: MAIL\nS: 501 5.1.7 whose?\nstall", "501 501", "", false},
		{"parameters that were not given", "X", "C: MAIL\nS: 555 5.5.4 no\nstall", "555 555", "", false},
		{"NOTIFY is not taken", "DSN", "C: MAIL\nS: 250 ok\nC: RCPT\nS: 501 5.5.4 no\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n.\nS: 250 ok\nstall", "451 250", "DSN", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			addr, _ := serve(t, strings.Replace(hello, "%s", row.offered, 1)+row.script, nil)
			c, err := dial(t, addr, options(t))
			check(t, err)
			env := envelope(t, "s@y.test", "a@x.test", "b@x.test")
			env.To[0].Notify = mail.NotifyFailure
			out, _ := c.Send(t.Context(), env, int64(len(letter)), strings.NewReader(letter))
			if got := codes(out); got != row.want || OfferUnkept(out[0]) != row.open || strings.Join(c.Unkept(), " ") != row.unkept {
				t.Errorf("outcomes %s, not kept: %q: %v", got, c.Unkept(), out)
			}
			if again := OfferUnkept(out[1]); again != (row.open && out[1].Deferred()) {
				t.Errorf("asked again: %v", out[1])
			}
		})
	}
}

// A server that speaks while the message is on its way is heard at once.
func TestReplyWhileTheMessageIsOnItsWay(t *testing.T) {
	const hello = "S: 220 mx\nC: EHLO\nS: 250 mx\nC: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nC: first\n"
	for _, row := range []struct{ name, script, want string }{
		{"success", hello + "S: 250 ok\nstall", "451"},
		{"refusal", hello + "S: 552 5.3.4 too large\nstall", "552"},
		{"putting off", hello + "S: 452 4.3.1 full\nstall", "452"},
		{"closing", hello + "S: 421 4.3.2 closing\nstall", "421"},
		{"lost", hello, "451"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			addr, sent := serve(t, row.script, nil)
			c, err := dial(t, addr, options(t))
			check(t, err)
			// The rest of the body comes only when the server has spoken, so that
			// the order is certain.
			first := "first\r\n" + strings.Repeat("x\r\n", 100_000)
			rest := &waiting{c: c.c.dead, r: strings.NewReader("last\r\n")}
			out, err := c.Send(t.Context(), envelope(t, "", "a@x.test"), int64(len(first)+6), io.MultiReader(strings.NewReader(first), rest))
			if codes(out) != row.want || err == nil || errors.Is(err, ErrNothingSent) {
				t.Errorf("%v, %v", out, err)
			}
			if strings.Contains(sent(), "last") {
				t.Error("the message was sent to its end all the same")
			}
		})
	}
}

// waiting reads r once c is closed.
type waiting struct {
	c <-chan struct{}
	r io.Reader
}

func (w *waiting) Read(p []byte) (int, error) { <-w.c; return w.r.Read(p) }

func TestUnaskedRepliesEndAnIdleConnection(t *testing.T) {
	for _, script := range []string{
		"S: 220 mx\nC: EHLO\nS: 250 mx\npause\nS: 250 ok\neof",
		"S: 220 mx\nC: EHLO\nS: 250 mx\npause\nS: 421 4.4.2 idle\neof",
		"S: 220 mx\nC: EHLO\nS: 250 mx\npause",
	} {
		addr, _ := serve(t, script, nil)
		c, err := dial(t, addr, options(t))
		check(t, err)
		<-c.c.dead
		out, err := c.Send(t.Context(), envelope(t, "", "a@x.test"), 0, strings.NewReader(""))
		if c.Usable() || !errors.Is(err, ErrNothingSent) || !out[0].Deferred() {
			t.Errorf("%v, %v", out, err)
		}
	}
}

// A server that does not read costs no more time than the message is worth.
func TestServerThatReadsNothing(t *testing.T) {
	addr, _ := serve(t, "S: 220 mx\nC: EHLO\nS: 250 mx\nC: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\npause\npause\npause\npause\npause\npause", nil)
	o := options(t)
	o.Timeouts.DataBlock, o.Limits.MinRate = 100*time.Millisecond, 1<<30
	c, err := dial(t, addr, o)
	check(t, err)
	const size = 64 << 20
	started := time.Now()
	out, err := c.Send(t.Context(), envelope(t, "", "a@x.test"), size, io.LimitReader(lines{}, size))
	if !errors.Is(err, ErrTimeout) || codes(out) != "451" || time.Since(started) > 10*time.Second {
		t.Errorf("%v, %v after %v", out, err, time.Since(started))
	}
}

// lines reads as empty lines without end.
type lines struct{}

func (lines) Read(p []byte) (int, error) {
	n := len(p) / 2 * 2
	for i := range n {
		p[i] = "\r\n"[i%2]
	}
	return n, nil
}

func TestEnvelopeIsBoundedAsAWhole(t *testing.T) {
	script := "S: 220 mx\nC: EHLO\nS: 250 mx\nC: MAIL\nS: 250 ok\n" + strings.Repeat("C: RCPT\npause\nS: 250 ok\n", 20)
	addr, _ := serve(t, script, nil)
	o := options(t)
	o.Timeouts.Envelope = 200 * time.Millisecond
	c, err := dial(t, addr, o)
	check(t, err)
	var to []string
	for range 20 {
		to = append(to, "a@x.test")
	}
	out, err := c.Send(t.Context(), envelope(t, "", to...), 0, strings.NewReader(""))
	if !errors.Is(err, ErrTimeout) || len(out) != 20 || !out[19].Deferred() {
		t.Errorf("%v, %v", out, err)
	}
}

func TestContextInterruptsEveryStage(t *testing.T) {
	for _, script := range []string{
		"stall",
		"S: 220 mx\nstall",
		"S: 220 mx\nC: EHLO\nS: 250 mx\nC: MAIL\nstall",
		"S: 220 mx\nC: EHLO\nS: 250 mx\nC: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 ok\n.\nstall",
	} {
		addr, _ := serve(t, script, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		nc := dialRaw(t, addr)
		c, err := New(ctx, nc, options(t))
		var out []mail.Outcome
		if err == nil {
			out, err = c.Send(ctx, envelope(t, "", "a@x.test"), int64(len(letter)), strings.NewReader(letter))
			if codes(out) != "451" || out[0].Reply.Enhanced.String() != "4.3.2" {
				t.Errorf("%v", out)
			}
		}
		if !errors.Is(err, ErrInterrupted) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: %v", script, err)
		}
	}
}
