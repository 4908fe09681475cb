package sendmail

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	localsocket "sallyport/internal/local/socket"
	imf "sallyport/internal/message"
)

// A line of recipients may be as long as a header, and none of them is lost.
func TestLongHeaderLines(t *testing.T) {
	var to strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&to, "u%d@y.test, ", i)
	}
	for _, head := range []string{"To: " + to.String() + "\r\n", "To: x@y.test,\r\n " + to.String() + "\r\n", "Subject: " + strings.Repeat("x", 200<<10) + "\r\nTo: " + to.String() + "\r\n"} {
		fields, body, whole, err := splitHeader(strings.NewReader(head + "Bcc: last@y.test\r\n\r\nbody\r\n"))
		if err != nil || !whole {
			t.Fatalf("%v, %v", whole, err)
		}
		h, err := imf.ParseHeader(fields)
		if err != nil {
			t.Fatal(err)
		}
		all, err := recipients(Options{Extract: true}, h, account(t).Domain())
		if err != nil || len(all) < 6001 || all[len(all)-1].String() != "last@y.test" {
			t.Errorf("%d recipients, %v", len(all), err)
		}
		if rest, _ := io.ReadAll(body); string(rest) != "body\r\n" {
			t.Errorf("%.40q", rest)
		}
	}
	if _, _, _, err := splitHeader(strings.NewReader("To: " + strings.Repeat("a@y.test, ", maxHeader/10+1) + "\r\n\r\n")); codeFrom(err) != CodeData {
		t.Errorf("a header beyond its bound: %v", err)
	}
}

// A header that breaks off before recipients sends to none of them.
func TestStrayRecipients(t *testing.T) {
	for in, code := range map[string]Code{
		"To: a@y.test\r\n\r\nCc: b@y.test\r\n":                      CodeOK,
		"To: a@y.test\r\nbody at once\r\n\r\nCc: b@y.test\r\n":      CodeOK,
		"To: a@y.test\r\nno field\r\nCc: b@y.test\r\n\r\n":          CodeData,
		"To: a@y.test\r\nno field\r\nresent-bcc : b@y.test\r\n\r\n": CodeData,
		"To: a@y.test,\r\nb@y.test\r\nSubject: x\r\n\r\n":           CodeData,
		"To: a@y.test,\r\n \r\n b@y.test\r\n\r\n":                   CodeData,
		"To: a@y.test,\r\n\r\nbody\r\n":                             CodeOK,
	} {
		fields, body, whole, err := splitHeader(strings.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		h, err := imf.ParseHeader(fields)
		if err != nil {
			t.Fatal(err)
		}
		if !whole {
			err = strayRecipients(h, body)
		}
		if codeFrom(err) != code {
			t.Errorf("%q: %v, want %d", in, err, code)
		}
	}
}

// play answers one connection: each reply is for one line of the client, and after the
// one to DATA for all that follows up to the dot. An empty reply closes.
func play(t *testing.T, replies ...string) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s.sock")
	ln, err := localsocket.Listen(socket, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in := bufio.NewReader(c)
		data := false
		for _, r := range replies {
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if !data || line == ".\r\n" {
					break
				}
			}
			if r == "" {
				return
			}
			data = strings.HasPrefix(r, "354")
			_, _ = io.WriteString(c, r+"\r\n")
			if strings.HasPrefix(r, "500") { // and takes no more, as a server does in the middle of a message
				return
			}
		}
	}()
	return socket
}

// However the server ends it: the exit code says whether all have the message, or that
// nobody has, and whether trying again makes sense.
func TestEndsOfATransaction(t *testing.T) {
	const greeting, hello = "220 mx.local.test ESMTP account=<alice@local.test>", "250-mx.local.test\r\n250 LIMITS RCPTMAX=3"
	for _, row := range []struct {
		name    string
		replies []string
		code    Code
		text    string
	}{
		{"taken", []string{greeting, hello, "250 ok", "250 ok", "250 ok", "354 go", "250 2.0.0 taken"}, CodeOK, ""},
		{"no account", []string{"554 5.7.1 no account"}, CodeNoPerm, "no account"},
		{"turned away", []string{"421 4.7.0 too many"}, CodeTempFail, "too many"},
		{"another server", []string{"220 mail ESMTP"}, CodeSoftware, "none of ours"},
		{"gone at once", []string{""}, CodeTempFail, "lost"},
		{"sender refused", []string{greeting, hello, "553 5.7.1 not yours"}, CodeNoPerm, "sender <alice@local.test>: 553"},
		{"sender put off", []string{greeting, hello, "452 4.3.1 disk"}, CodeTempFail, "disk"},
		{"too large", []string{greeting, hello, "552 5.3.4 large"}, CodeUnavailable, "large"},
		{"one unknown", []string{greeting, hello, "250 ok", "250 ok", "550 5.1.1 who", "250 ok"}, CodeNoUser, "nothing was sent to the other recipients"},
		{"one put off", []string{greeting, hello, "250 ok", "451 4.3.0 later", "250 ok", "250 ok"}, CodeTempFail, "nothing was sent"},
		{"one put off, one unknown", []string{greeting, hello, "250 ok", "451 4.3.0 later", "550 5.1.1 who", "250 ok"}, CodeNoUser, "who"},
		{"gone after a refusal", []string{greeting, hello, "250 ok", "550 5.1.1 who", ""}, CodeNoUser, "who"},
		{"more than it takes", []string{greeting, hello, "250 ok", "250 ok", "452 4.5.3 many"}, CodeUnavailable, "many"},
		{"gone among recipients", []string{greeting, hello, "250 ok", "250 ok", ""}, CodeTempFail, "lost"},
		{"no data", []string{greeting, hello, "250 ok", "250 ok", "250 ok", "554 5.5.1 no"}, CodeUnavailable, "no"},
		{"gone before the message", []string{greeting, hello, "250 ok", "250 ok", "250 ok", ""}, CodeTempFail, "lost"},
		{"gone at its end", []string{greeting, hello, "250 ok", "250 ok", "250 ok", "354 go", ""}, CodeTempFail, "has not said that it took"},
		{"refused at its end", []string{greeting, hello, "250 ok", "250 ok", "250 ok", "354 go", "550 5.7.1 virus"}, CodeNoPerm, "virus"},
		{"put off at its end", []string{greeting, hello, "250 ok", "250 ok", "250 ok", "354 go", "451 4.3.0 later"}, CodeTempFail, "later"},
		{"a line too long", []string{greeting, hello, "250 ok", "250 ok", "250 ok", "354 go", "500 5.5.2 line too long"}, CodeData, "line too long"},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := Options{Recipients: []string{"a@y.test", "b@y.test"}}
			sent, err := Send(context.Background(), o, Caller{Socket: play(t, row.replies...)}, strings.NewReader("Subject: x\n\nhello\n"))
			if codeFrom(err) != row.code || err != nil && !strings.Contains(err.Error(), row.text) || (err == nil) != sent.Reply.OK() {
				t.Errorf("%v (%d), want %d %q", err, codeFrom(err), row.code, row.text)
			}
		})
	}
	o := Options{Recipients: []string{"a@y.test,b@y.test", "c@y.test", "d@y.test"}}
	if _, err := Send(context.Background(), o, Caller{Socket: play(t, greeting, hello)}, strings.NewReader("x\n")); codeFrom(err) != CodeUnavailable || !strings.Contains(err.Error(), "4 recipients, and the server takes at most 3") {
		t.Errorf("%v", err)
	}
}
