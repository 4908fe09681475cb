package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"sallyport/internal/mail"
)

const honest = "S: 220 mx\nC: EHLO client.test\n"

// send sends one message and returns what went over the wire.
func send(t *testing.T, script string, env mail.Envelope, text string) ([]mail.Outcome, string) {
	t.Helper()
	addr, sent := serve(t, script, nil)
	c, err := dial(t, addr, options(t))
	check(t, err)
	out, err := c.Send(t.Context(), env, int64(len(text)), strings.NewReader(text))
	check(t, err)
	c.Close()
	return out, sent()
}

func TestParametersGoToServersThatTakeThem(t *testing.T) {
	env := envelope(t, `"a b"@y.test`, "bób@x.test", "c@x.test")
	env.SMTPUTF8, env.Body, env.Ret, env.EnvID = true, mail.Body8BitMIME, mail.RetHeaders, "a=b +c"
	env.To[0].Notify, env.To[0].ORcpt = mail.NotifySuccess|mail.NotifyFailure|mail.NotifyDelay, mail.ORcpt{Type: "utf-8", Address: "bób+x@x.test"}
	env.To[1].Notify, env.To[1].ORcpt = mail.NotifyNever, mail.ORcpt{Type: "rfc822", Address: "c+d@x.test"}
	out, sent := send(t, honest+"S: 250-mx\nS: 250-SIZE 1000\nS: 250-8bitmime\nS: 250-SMTPUTF8\nS: 250 DSN\nC: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n.\nS: 250 ok\nstall", env, letter)
	want := "EHLO client.test\r\n" +
		`MAIL FROM:<"a b"@y.test> SIZE=21 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+3Db+20+2Bc` + "\r\n" +
		`RCPT TO:<bób@x.test> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=utf-8;b\x{F3}b\x{2B}x@x.test` + "\r\n" +
		"RCPT TO:<c@x.test> NOTIFY=NEVER ORCPT=rfc822;c+2Bd@x.test\r\nDATA\r\n" + letter + ".\r\n"
	if codes(out) != "250 250" || sent != want {
		t.Errorf("%v, sent\n%s\nwant\n%s", out, sent, want)
	}
}

// A server that refuses with a code of no standard has refused, in its own words. RFC 5321 §4.2.
func TestCodesOfNoStandardAreAnswers(t *testing.T) {
	for code, failed := range map[string]bool{"571": true, "599": true, "499": false} {
		for _, script := range []string{
			"C: MAIL\nS: CODE blocked\nstall",
			"C: MAIL\nS: 250 ok\nC: RCPT\nS: CODE blocked\nstall",
			"C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n.\nS: CODE blocked\nstall",
		} {
			out, _ := send(t, honest+"S: 250 mx\n"+strings.ReplaceAll(script, "CODE", code), envelope(t, "", "c@x.test"), letter)
			if codes(out) != code || out[0].Failed() != failed || !out[0].Said || out[0].Reply.Text != "blocked" {
				t.Errorf("%s: %v", script, out)
			}
		}
	}
}

func TestParametersStayFromServersThatDoNot(t *testing.T) {
	env := envelope(t, "", "c@x.test")
	env.Body, env.Ret, env.EnvID = mail.Body8BitMIME, mail.RetFull, "x"
	env.To[0].Notify = mail.NotifyNever
	out, sent := send(t, honest+"S: 250 mx\nC: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n.\nS: 250 ok\nstall", env, ".\r\n..x\r\nend")
	if want := "EHLO client.test\r\nMAIL FROM:<>\r\nRCPT TO:<c@x.test>\r\nDATA\r\n..\r\n...x\r\nend\r\n.\r\n"; codes(out) != "250" || sent != want {
		t.Errorf("%v, sent %q", out, sent)
	}
}

// What a server cannot take is refused without asking it.
func TestRefusedWithoutAsking(t *testing.T) {
	utf8 := envelope(t, "", "a@x.test")
	utf8.SMTPUTF8 = true
	binary := envelope(t, "", "a@x.test")
	binary.Body = mail.BodyBinaryMIME
	for name, row := range map[string]struct {
		env  mail.Envelope
		size int64
		want string
	}{
		"SMTPUTF8 by recipient": {envelope(t, "", "bób@x.test", "á@x.test"), 1, "550 5.6.7"},
		"SMTPUTF8 by sender":    {envelope(t, "bób@y.test", "a@x.test"), 1, "550 5.6.7"},
		"SMTPUTF8 by header":    {utf8, 1, "550 5.6.7"},
		"binary":                {binary, 1, "554 5.6.1"},
		"too large":             {envelope(t, "", "a@x.test"), 1001, "552 5.3.4"},
		"no length":             {envelope(t, "", "a@x.test"), -1, "451 4.3.0"},
		"no sender":             {mail.Envelope{To: envelope(t, "", "a@x.test").To}, 1, "553 5.1.7"},
		"no recipient address":  {mail.Envelope{From: mail.NullPath(), To: make([]mail.Recipient, 2)}, 1, "553 5.1.3"},
		"nobody":                {envelope(t, ""), 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			addr, sent := serve(t, honest+"S: 250-mx\nS: 250 SIZE 1000\neof", nil)
			c, err := dial(t, addr, options(t))
			check(t, err)
			out, err := c.Send(t.Context(), row.env, row.size, strings.NewReader(letter))
			if err != nil || len(out) != len(row.env.To) {
				t.Fatalf("%v, %v", out, err)
			}
			for _, o := range out {
				if !strings.HasPrefix(o.Reply.String(), row.want) || o.Said {
					t.Errorf("%v, said by the server %v, want %s by us", o.Reply, o.Said, row.want)
				}
			}
			if !c.Usable() {
				t.Error("the connection is spoilt")
			}
			c.Close()
			if sent() != "EHLO client.test\r\n" {
				t.Errorf("sent %q", sent())
			}
		})
	}
}

// A recipient without an address does not keep the message from the others.
func TestOneUnsafeRecipient(t *testing.T) {
	env := envelope(t, "", "a@x.test", "b@x.test")
	env.To[0].Address = mail.Address{}
	out, _ := send(t, honest+"S: 250 mx\nC: MAIL\nS: 250 ok\nC: RCPT TO:<b\nS: 250 ok\nC: DATA\nS: 354 go\n.\nS: 250 ok\nstall", env, letter)
	if codes(out) != "553 250" || out[0].Said || !out[1].Said {
		t.Errorf("%+v", out)
	}
}

// Nor does one with an address beyond ASCII, where the server takes none: the message
// itself needs no SMTPUTF8.
func TestOneInternationalRecipient(t *testing.T) {
	env := envelope(t, "x@y.test", "bób@x.test", "b@x.test")
	out, _ := send(t, honest+"S: 250 mx\nC: MAIL FROM:<x@y.test>\nS: 250 ok\nC: RCPT TO:<b\nS: 250 ok\nC: DATA\nS: 354 go\n.\nS: 250 ok\nstall", env, letter)
	if codes(out) != "550 250" || out[0].Said || !out[1].Said || out[0].Reply.Enhanced.String() != "5.6.7" {
		t.Errorf("%+v", out)
	}
}

// What must never leave us does not: not a bare CR, LF or NUL, not a body that is
// shorter, longer or more broken than it was. The server sees no end of data.
func TestUncleanMessagesDoNotLeave(t *testing.T) {
	long := strings.Repeat("0123456789\r\n", 10_000)
	broken := errors.New("hash mismatch")
	for name, row := range map[string]struct {
		body io.Reader
		size int64
		want string
		err  error
	}{
		"bare LF":                {strings.NewReader("a\n.\r\nMAIL\r\n"), 11, "554", ErrUnclean},
		"bare CR":                {strings.NewReader("a\r.\r\n"), 5, "554", ErrUnclean},
		"NUL":                    {strings.NewReader("a\x00b\r\n"), 5, "554", ErrUnclean},
		"CR at the end":          {strings.NewReader("a\r"), 2, "554", ErrUnclean},
		"bare LF far on":         {strings.NewReader(long + "a\nb\r\n"), int64(len(long)) + 5, "554", ErrUnclean},
		"shorter":                {strings.NewReader("abc\r\n"), 6, "451", ErrBody},
		"longer":                 {strings.NewReader("abc\r\n\r\n"), 5, "451", ErrBody},
		"longer far on":          {strings.NewReader(long + "x"), int64(len(long)), "451", ErrBody},
		"damaged at the end":     {io.MultiReader(strings.NewReader(long), &failing{broken}), int64(len(long)), "451", broken},
		"damaged in the middle":  {io.MultiReader(strings.NewReader(long), &failing{broken}), int64(len(long)) + 1, "451", broken},
		"damaged from the start": {&failing{broken}, 7, "451", broken},
	} {
		for _, chunking := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, chunking %v", name, chunking), func(t *testing.T) {
				row := row
				if s, ok := row.body.(*strings.Reader); ok {
					s.Seek(0, io.SeekStart)
				} else if chunking && name != "damaged from the start" {
					row.body = io.MultiReader(strings.NewReader(long), &failing{broken})
				}
				script := honest + "S: 250 mx\nC: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nstall"
				if chunking {
					script = honest + "S: 250-mx\nS: 250 CHUNKING\nC: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nBDAT\nS: 250 ok"
				}
				addr, sent := serve(t, script, nil)
				c, err := dial(t, addr, options(t))
				check(t, err)
				out, err := c.Send(t.Context(), envelope(t, "", "a@x.test"), row.size, row.body)
				if codes(out) != row.want || !errors.Is(err, row.err) || c.Usable() {
					t.Errorf("%v, %v", out, err)
				}
				_, body, _ := strings.Cut(sent(), "DATA\r\n")
				if chunking {
					_, body, _ = strings.Cut(sent(), "LAST\r\n")
				}
				if strings.HasSuffix(body, "\r\n.\r\n") || chunking && int64(len(body)) >= row.size {
					t.Errorf("the message was ended: %q", body)
				}
			})
		}
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestOneConnectionManyMessages(t *testing.T) {
	const ok = "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n.\nS: 250 ok\n"
	// RSET comes only where a transaction may be left open.
	script := honest + "S: 250-mx\nS: 250 PIPELINING\n" + ok + ok +
		"C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 550 no\nS: 503 no\nC: RSET\nS: 250 ok\n" + ok + "C: QUIT\nS: 221 bye\neof"
	script = strings.Replace(script, "C: RSET\nS: 250 ok\n"+ok, "C: RSET\nC: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n.\nS: 250 ok\n", 1)
	addr, _ := serve(t, script, nil)
	c, err := dial(t, addr, options(t))
	check(t, err)
	for i, want := range []string{"250", "250", "550", "250"} {
		out, err := c.Send(t.Context(), envelope(t, "", "a@x.test"), int64(len(letter)), strings.NewReader(letter))
		if codes(out) != want || err != nil {
			t.Fatalf("message %d: %v, %v", i, out, err)
		}
	}
	check(t, c.Quit(t.Context()))
	if c.Usable() {
		t.Error("usable after QUIT")
	}
	if out, err := c.Send(t.Context(), envelope(t, "", "a@x.test"), 0, strings.NewReader("")); codes(out) != "451" || !errors.Is(err, ErrClosed) {
		t.Errorf("%v, %v", out, err)
	}
}

func TestReset(t *testing.T) {
	addr, _ := serve(t, honest+"S: 250 mx\nC: RSET\nS: 250 ok\nC: RSET\nS: 500 what\neof", nil)
	c, err := dial(t, addr, options(t))
	check(t, err)
	check(t, c.Reset(t.Context()))
	if err := c.Reset(t.Context()); !errors.Is(err, ErrProtocol) || c.Usable() {
		t.Errorf("%v", err)
	}
}

// RFC 9422: what a server says that it takes at once, it is given at once.
func TestLimitsOfTheServer(t *testing.T) {
	const mailData = "C: DATA\nS: 354 go\n.\nS: 250 ok\n"
	for _, row := range []struct{ limits, rcpts, want string }{
		{"RCPTMAX=2", "C: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\n", "250 250 452"},
		{"rcptmax=1 MAILMAX=9", "C: RCPT\nS: 250 ok\n", "250 452 452"},
		{"RCPTDOMAINMAX=1", "C: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\n", "250 250 452"},
		{"RCPTMAX=0 RCPTMAX=x RCPTMAX OTHER=1", "C: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\n", "250 250 250"},
	} {
		out, _ := send(t, honest+"S: 250-mx\nS: 250 LIMITS "+row.limits+"\nC: MAIL\nS: 250 ok\n"+row.rcpts+mailData+"stall", envelope(t, "", "a@x.test", "b@x.test", "c@z.test"), letter)
		if codes(out) != row.want {
			t.Errorf("%s: %v", row.limits, out)
		}
	}
	addr, _ := serve(t, honest+"S: 250-mx\nS: 250 LIMITS MAILMAX=1\nC: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\n"+mailData+"eof", nil)
	c, err := dial(t, addr, options(t))
	check(t, err)
	if _, err := c.Send(t.Context(), envelope(t, "", "a@x.test"), int64(len(letter)), strings.NewReader(letter)); err != nil || c.Usable() {
		t.Errorf("after its last message the connection is usable: %v", err)
	}
}

// However many recipients, no more commands are on their way than both sides can
// hold.
func TestPipelineIsBounded(t *testing.T) {
	var to []string
	for i := range 25 {
		to = append(to, fmt.Sprintf("user%d@x.test", i))
	}
	script := honest + "S: 250-mx\nS: 250 PIPELINING\nC: MAIL\n" + strings.Repeat("C: RCPT\n", 9) + "pause\n" + strings.Repeat("S: 250 ok\n", 10) +
		strings.Repeat("C: RCPT\n", 10) + "pause\n" + strings.Repeat("S: 250 ok\n", 10) + strings.Repeat("C: RCPT\n", 6) + "C: DATA\n" + strings.Repeat("S: 250 ok\n", 6) + "S: 354 go\n.\nS: 250 ok\nstall"
	addr, _ := serve(t, script, nil)
	o := options(t)
	o.Limits.Pipeline = 10
	c, err := dial(t, addr, o)
	check(t, err)
	out, err := c.Send(t.Context(), envelope(t, "", to...), int64(len(letter)), strings.NewReader(letter))
	if err != nil || codes(out) != strings.TrimSpace(strings.Repeat("250 ", 25)) {
		t.Errorf("%v, %v", out, err)
	}
}

func TestHELOForServersWithoutEHLO(t *testing.T) {
	addr, sent := serve(t, "S: 220 mx\nC: EHLO\nS: 502 what\nC: HELO\nS: 250 mx\nC: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n.\nS: 250 ok\nstall", nil)
	c, err := dial(t, addr, options(t))
	check(t, err)
	if out, err := c.Send(t.Context(), envelope(t, "", "a@x.test"), int64(len(letter)), strings.NewReader(letter)); err != nil || codes(out) != "250" {
		t.Errorf("%v, %v", out, err)
	}
	c.Close()
	if !strings.Contains(sent(), "HELO client.test\r\nMAIL FROM:<>\r\n") {
		t.Errorf("%q", sent())
	}
}

func TestRemoteNamesTheServer(t *testing.T) {
	addr, _ := serve(t, honest+"S: 250 mx\nstall", nil)
	c, err := dial(t, addr, options(t))
	check(t, err)
	host, port, _ := strings.Cut(addr, ":")
	if want := "mx.test [" + host + "]:" + port; c.Remote() != want || c.TLS() != "" {
		t.Errorf("%q, %q", c.Remote(), c.TLS())
	}
}

func TestUndecidedOptionsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Options){
		"nothing":                   func(o *Options) { *o = Options{} },
		"no name":                   func(o *Options) { o.Hello = mail.Domain{} },
		"TLS undecided":             func(o *Options) { o.TLS = TLSPolicy{} },
		"TLS beyond":                func(o *Options) { o.TLS.Mode = 9 },
		"TLS without configuration": func(o *Options) { o.TLS.Mode = mail.TLSRequired },
		"password in clear":         func(o *Options) { o.Auth = &Credentials{User: "u", Password: "p"} },
		"password under optional TLS": func(o *Options) {
			o.Auth, o.TLS = &Credentials{User: "u", Password: "p"}, TLSPolicy{Mode: mail.TLSOpportunistic, Config: &tls.Config{}}
		},
		"no password": func(o *Options) {
			o.Auth, o.TLS = &Credentials{User: "u", Password: ""}, TLSPolicy{Mode: mail.TLSRequired, Config: &tls.Config{}}
		},
		"no timeouts": func(o *Options) { o.Timeouts = Timeouts{} },
		"no limits":   func(o *Options) { o.Limits = Limits{} },
	} {
		addr, _ := serve(t, "eof", nil)
		o := options(t)
		spoil(&o)
		if c, err := dial(t, addr, o); c != nil || err == nil {
			t.Errorf("taken: %s", name)
		}
	}
	o := options(t)
	o.Timeouts = DefaultTimeouts()
	check(t, o.check())
}
