package server_test

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/imap/server"
)

func clear(o *server.Options) { o.Implicit = false }

// rest reads everything up to the end of the connection.
func (c *client) rest() string {
	c.t.Helper()
	text, err := io.ReadAll(c.in)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		c.t.Fatal(err)
	}
	return string(text)
}

func (w *world) why() string {
	for range 100 {
		w.mu.Lock()
		why := w.sessions[len(w.sessions)-1].ended
		w.mu.Unlock()
		if why != "" {
			return why
		}
		time.Sleep(10 * time.Millisecond)
	}
	return "nothing"
}

// Nobody signs in outside TLS, and the password is not looked at.
func TestNobodySignsInOutsideTLS(t *testing.T) {
	w := newWorld(t, clear)
	c := w.dial()
	if lines := strings.Join(c.ok("CAPABILITY"), "\n"); !strings.Contains(lines, "STARTTLS LOGINDISABLED") || strings.Contains(lines, "AUTH=") {
		t.Error(lines)
	}
	for _, command := range []string{"LOGIN " + w.account.String() + " \"" + password + "\"", "AUTHENTICATE PLAIN", "AUTHENTICATE PLAIN " + plain(w, password)} {
		if lines := c.do(command); len(lines) != 1 || !strings.HasPrefix(lines[0], "t NO [PRIVACYREQUIRED]") {
			t.Errorf("%q", lines)
		}
	}
	const words = ": encryption is required to sign in; the credential was not looked at"
	if got := w.told(); got != "LOGIN"+words+"\nAUTHENTICATE"+words+"\nAUTHENTICATE"+words {
		t.Errorf("nobody learns of it: %q", got)
	}
	if lines := c.do("SELECT INBOX"); !strings.HasPrefix(lines[0], "t BAD") {
		t.Errorf("%q", lines)
	}
	if lines := c.do("ENABLE CONDSTORE"); !strings.HasPrefix(lines[0], "t BAD") {
		t.Errorf("%q", lines)
	}
}

func plain(w *world, pass string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + w.account.String() + "\x00" + pass))
}

func TestSTARTTLS(t *testing.T) {
	w := newWorld(t, clear)
	c := w.dial()
	c.ok("STARTTLS")
	tc := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	c.conn = tc
	c.in.Reset(tc)
	if lines := strings.Join(c.ok("CAPABILITY"), "\n"); strings.Contains(lines, "STARTTLS") || !strings.Contains(lines, "AUTH=PLAIN") {
		t.Error(lines)
	}
	if lines := c.do("STARTTLS"); !strings.HasPrefix(lines[0], "t BAD") {
		t.Errorf("%q", lines)
	}
	c.ok("AUTHENTICATE PLAIN " + plain(w, password))
	c.ok("SELECT INBOX")
}

// What came in clear together with STARTTLS never counts as sent under TLS.
func TestOctetsBehindSTARTTLSEndTheConnection(t *testing.T) {
	w := newWorld(t, clear)
	c := w.dial()
	c.send("a STARTTLS\r\nb NOOP\r\n")
	if text := c.rest(); !strings.HasPrefix(text, "a BAD") || strings.Contains(text, "b OK") {
		t.Errorf("%q", text)
	}
	if why := w.why(); why != server.EndInjection {
		t.Error(why)
	}
}

func TestSigningIn(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	if lines := c.do("LOGIN joe wrong"); !strings.HasPrefix(lines[0], "t NO [AUTHENTICATIONFAILED]") {
		t.Errorf("%q", lines)
	}
	c.send("a AUTHENTICATE LOGIN\r\n")
	for _, say := range []string{base64.StdEncoding.EncodeToString([]byte(w.account.String())), base64.StdEncoding.EncodeToString([]byte(password))} {
		if line := c.read(); !strings.HasPrefix(line, "+ ") {
			t.Fatalf("%q", line)
		}
		c.send(say + "\r\n")
	}
	if line := c.read(); !strings.HasPrefix(line, "a OK [CAPABILITY IMAP4rev2") {
		t.Fatalf("%q", line)
	}
	if lines := c.do("LOGIN joe wrong"); !strings.HasPrefix(lines[0], "t BAD") {
		t.Errorf("%q", lines)
	}
	c = w.dial()
	c.send("a AUTHENTICATE PLAIN\r\n")
	c.read()
	c.send("*\r\n")
	if line := c.read(); !strings.HasPrefix(line, "a BAD") {
		t.Errorf("%q", line)
	}
	if lines := c.do("AUTHENTICATE EXTERNAL"); !strings.HasPrefix(lines[0], "t NO [CANNOT]") {
		t.Errorf("%q", lines)
	}
	if got := w.told(); got != "AUTHENTICATE: cancelled\nAUTHENTICATE: this mechanism is not offered" {
		t.Errorf("nobody learns of it: %q", got) // of the others whose credentials were looked at the desk does
	}
}

// A guess costs a place in the count, and the last one the connection.
func TestGuessesEnd(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	for n := range 3 {
		if lines := c.do("LOGIN joe secretguess"); !strings.HasPrefix(lines[0], "t NO") {
			t.Errorf("%d: %q", n, lines)
		}
	}
	c.rest()
	if why := w.why(); why != server.EndAuthFailures {
		t.Error(why)
	}
	if strings.Contains(w.log.String(), "secretguess") {
		t.Error("a password stands in the log")
	}
}

// What a program still says when its sign-in has failed at once is no command, once.
func TestAStrayAnswerIsPassedOver(t *testing.T) {
	c := newWorld(t).dial()
	c.do("LOGIN joe wrong")
	c.send("AQ==\r\n")
	c.ok("NOOP")
	c.send("AQ==\r\n")
	if line := c.read(); !strings.Contains(line, "BAD") {
		t.Error(line)
	}
}

// Each bound before sign-in ends the connection or refuses the command, and tells why.
func TestBoundsOfStrangers(t *testing.T) {
	for name, tt := range map[string]struct {
		send, want, why string
		change          func(*server.Limits)
	}{
		"line":     {"a LOGIN " + strings.Repeat("x", 20000) + "\r\n", "* BYE the command is too long", server.EndTooLong, nil},
		"literal":  {"a LOGIN {4097+}\r\n" + strings.Repeat("x", 4097) + " x\r\nb NOOP\r\n", "a BAD [TOOBIG] the literal is too long\r\nb OK", "", nil},
		"drain":    {"a LOGIN {99999999+}\r\n", "* BYE the literal is too long", server.EndTooLong, nil},
		"message":  {"a APPEND INBOX {10}\r\nb NOOP\r\n", "a BAD sign in first\r\nb OK", "", nil},
		"commands": {strings.Repeat("a NOOP\r\n", 51), "* BYE too many commands without a sign-in", server.EndErrors, nil},
		"bad":      {strings.Repeat("a X\r\n", 20), "* BYE too many commands in a row", server.EndErrors, nil},
		"control":  {"a NO\x00OP\r\n", "* BYE a line holds", server.EndErrors, nil},
		"http":     {"GET / HTTP/1.1\r\n", "BAD this is IMAP", server.EndNotIMAP, nil},
		"silence":  {"", "* BYE nothing was heard", server.EndTimeout, func(l *server.Limits) { l.StrangerTimeout = 500 * time.Millisecond }},
		"half":     {"a NO", "* BYE nothing was heard", server.EndTimeout, func(l *server.Limits) { l.StrangerTimeout = 500 * time.Millisecond }},
		"duration": {"", "* BYE nobody has signed in", server.EndDuration, func(l *server.Limits) { l.StrangerDuration = time.Second }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *server.Options) {
				if tt.change != nil {
					tt.change(&o.Limits)
				}
			})
			c := w.dial()
			c.send(tt.send)
			if tt.why == "" {
				c.send("c LOGOUT\r\n")
				tt.why = server.EndLogout
			}
			if text := c.rest(); !strings.Contains(text, tt.want) {
				t.Errorf("%.300q", text)
			}
			if why := w.why(); why != tt.why {
				t.Error(why)
			}
		})
	}
}

func TestTimesAfterSignIn(t *testing.T) {
	w := newWorld(t, func(o *server.Options) {
		o.Limits.IdleTimeout, o.Limits.CommandTimeout = 150*time.Millisecond, 100*time.Millisecond
	})
	for _, begun := range []string{"", "a NO", "a IDLE\r\n", "a APPEND INBOX {10+}\r\nabc"} {
		c := w.login()
		c.send(begun)
		if text := c.rest(); !strings.HasSuffix(text, "* BYE nothing was heard for too long\r\n") {
			t.Errorf("%q: %q", begun, text)
		}
	}
}

// A session that must end is told why within a moment, whatever it does.
func TestEndingASession(t *testing.T) {
	w := newWorld(t)
	for _, doing := range []string{"a NOOP\r\n", "a IDLE\r\n", "a APPEND INBOX {10}\r\n"} {
		c := w.login()
		c.ok("SELECT INBOX")
		c.send(doing)
		c.read()
		w.mu.Lock()
		s := w.sessions[len(w.sessions)-1]
		w.mu.Unlock()
		began := time.Now()
		s.conn.End("the password was revoked")
		if text := c.rest(); text != "* BYE the password was revoked\r\n" {
			t.Errorf("%q: %q", doing, text)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%q: %v", doing, took)
		}
		if why := w.why(); why != server.EndPolicy {
			t.Error(why)
		}
	}
}

// Who does not read is not waited for when his session must end.
func TestEndingASessionThatDoesNotRead(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	c.append("INBOX", "", "Subject: big\n\n"+strings.Repeat(strings.Repeat("x", 70)+"\n", 100000))
	c.ok("SELECT INBOX")
	c.send("a FETCH 1 (BODY[] BODY.PEEK[TEXT] BINARY[1])\r\n")
	time.Sleep(200 * time.Millisecond)
	w.mu.Lock()
	s := w.sessions[len(w.sessions)-1]
	w.mu.Unlock()
	began := time.Now()
	s.conn.End("enough")
	if why := w.why(); why != server.EndPolicy && why != server.EndEOF || time.Since(began) > time.Second {
		t.Errorf("%s after %v", why, time.Since(began))
	}
}

// Answers come in the order of the commands, however many come at once.
func TestPipelinedCommands(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	for n := range 3 {
		c.append("INBOX", "", fmt.Sprintf("Subject: %d\n\ntext\n", n))
	}
	c.ok("SELECT INBOX")
	c.send("1 STORE 1 +FLAGS (\\Deleted)\r\n2 EXPUNGE\r\n3 STORE 1 +FLAGS (\\Deleted)\r\n4 EXPUNGE\r\n5 FETCH 1 UID\r\n6 LOGOUT\r\n")
	text := c.rest()
	at := 0
	for _, want := range []string{"1 OK", "* 1 EXPUNGE", "2 OK", "3 OK", "* 1 EXPUNGE", "4 OK", "* 1 FETCH (UID 3)", "5 OK", "6 OK"} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("%s is not behind %q in\n%s", want, text[:at], text)
		}
		at += i
	}
}

// Of messages of which one was refused, nothing stays: neither in the mailbox nor beside it.
func TestARefusedAppendLeavesNothing(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	if lines := c.do("APPEND INBOX {5+}\r\nabcde {60000000}"); !strings.HasPrefix(lines[len(lines)-1], "t NO [TOOBIG]") {
		t.Errorf("%q", lines)
	}
	c.ok("NOOP")
	for _, sub := range []string{"tmp", "new", "cur"} {
		if files, err := os.ReadDir(filepath.Join(w.dir, sub)); err != nil || len(files) != 0 {
			t.Errorf("%s: %v %v", sub, files, err)
		}
	}
}

// An extension that is switched off is neither told nor served.
func TestExtensionsAreSwitchedOff(t *testing.T) {
	w := newWorld(t, func(o *server.Options) { o.Without = []string{"condstore", "IDLE"} })
	c := w.login()
	lines := strings.Join(c.ok("CAPABILITY"), "\n")
	for _, gone := range []string{"CONDSTORE", "QRESYNC", "IDLE"} {
		if strings.Contains(lines, gone) {
			t.Errorf("%s is offered: %s", gone, lines)
		}
	}
	if lines := c.ok("ENABLE QRESYNC UTF8=ACCEPT"); lines[0] != "* ENABLED UTF8=ACCEPT" {
		t.Errorf("%q", lines)
	}
	if lines := c.do("IDLE"); !strings.HasPrefix(lines[0], "t BAD") {
		t.Errorf("%q", lines)
	}
}

// Whoever had the mailbox open when it was removed is told so.
func TestAMailboxThatIsRemovedUnderASession(t *testing.T) {
	w := newWorld(t)
	a, b := w.login(), w.login()
	a.ok("CREATE x")
	a.ok("SELECT x")
	a.send("i IDLE\r\n")
	a.read()
	b.ok("DELETE x")
	if text := a.rest(); !strings.Contains(text, "* BYE the mailbox was removed") {
		t.Errorf("%q", text)
	}
}

// The engine refuses to run without what it needs.
func TestOptionsAreChecked(t *testing.T) {
	for _, change := range []func(*server.Options){
		func(o *server.Options) { o.Backend = nil }, func(o *server.Options) { o.Hostname = "" }, func(o *server.Options) { o.TLS = nil },
		func(o *server.Options) { o.Limits.Errors = 0 }, func(o *server.Options) { o.Limits.Commands.CommandOctets = 0 },
	} {
		w := &world{t: t}
		o := server.Options{Backend: w, Hostname: "x", TLS: testTLS(t), Implicit: true, Limits: server.DefaultLimits(), Logger: w.options.Logger, Now: time.Now}
		change(&o)
		if o.Check() == nil {
			t.Error("unfit options are taken")
		}
		ours, theirs := net.Pipe()
		server.Serve(t.Context(), ours, &o)
		if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
	}
}
