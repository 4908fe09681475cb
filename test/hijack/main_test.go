// Package hijack steals passwords of a running server and counts, at its next hop, what the
// thief gets out.
package hijack

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// binary is the server under test.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "hijack")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		binary, err = rig.Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// newServer starts a server that watches its accounts, with a next hop that counts.
func newServer(t *testing.T, hijack, extra string) (*rig.Server, *load.Sink) {
	t.Helper()
	s, sink := prepare(t, hijack, extra)
	start(t, s)
	return s, sink
}

// prepare does the same, and starts nothing yet.
func prepare(t *testing.T, hijack, extra string) (*rig.Server, *load.Sink) {
	t.Helper()
	sink, err := load.NewSink(load.SinkOptions{Keep: true, Unknown: func(to string) bool { return strings.HasPrefix(to, "gone") }})
	must(t, err)
	t.Cleanup(func() { _ = sink.Close() })
	s, err := rig.Prepare(t.Context(), rig.Options{
		Binary: binary, Dir: filepath.Join(t.TempDir(), "data"), Remote: sink.Addr(), Sendmail: true, Reading: true,
		Extra: "[limits]\ngreet_delay = \"0s\"\ntransactions = 1000000\n\n[auth]\nguesses = 1000\nnetwork_guesses = 1000\n\n[hijack]\n" + hijack + "\n" + extra,
	})
	must(t, err)
	return s, sink
}

func start(t *testing.T, s *rig.Server) {
	t.Helper()
	must(t, s.Start(t.Context()))
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("end of the server's log:\n%s", s.LogTail())
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func cli(t *testing.T, s *rig.Server, args ...string) string {
	t.Helper()
	out, err := s.CLI(context.Background(), "", args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// program sends as a program of this host does.
func program(t *testing.T, s *rig.Server, to string) error {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, "sendmail", "-i", to)
	c.Env = append(os.Environ(), "SALLYPORT_SENDMAIL="+s.Sendmail())
	c.Stdin = strings.NewReader("Subject: x\n\nx\n")
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// recipients is how many the next hop took mail for.
func recipients(sink *load.Sink) (n int) {
	for _, m := range sink.Kept() {
		n += len(m.To)
	}
	return n
}

// client is one connection to a door.
type client struct {
	net.Conn
	in *bufio.Reader
}

// dial opens a connection to a submission door and says EHLO under TLS.
func dial(t *testing.T, s *rig.Server, door string, c *tls.Config) *client {
	t.Helper()
	at := s.Listen.Submissions[0]
	if door == "submission" {
		at = s.Listen.Submission[0]
	}
	if c == nil {
		c = tlsConfig(t, s)
	}
	return greet(t, connect(t, at, nil), door, c)
}

// connect opens a connection, from an address of this host; nil: from any.
func connect(t *testing.T, at string, from net.Addr) net.Conn {
	t.Helper()
	d := net.Dialer{Timeout: 30 * time.Second, LocalAddr: from}
	raw, err := d.DialContext(t.Context(), "tcp", at)
	must(t, err)
	_ = raw.SetDeadline(time.Now().Add(2 * time.Minute))
	return raw
}

// greet says EHLO under TLS.
func greet(t *testing.T, raw net.Conn, door string, c *tls.Config) *client {
	t.Helper()
	x := &client{raw, bufio.NewReader(raw)}
	if door == "submission" {
		x.line()
		x.say("EHLO thief.test")
		x.say("STARTTLS")
		over := tls.Client(raw, c)
		x = &client{over, bufio.NewReader(over)}
		x.say("EHLO thief.test")
	} else {
		over := tls.Client(raw, c)
		x = &client{over, bufio.NewReader(over)}
		x.line()
		x.say("EHLO thief.test")
	}
	t.Cleanup(func() { _ = x.Close() })
	return x
}

// say sends a line and returns the last line of the answer; "" when the connection ended.
func (c *client) say(line string) string {
	_, _ = io.WriteString(c, line+"\r\n") // of a session that is over the end is read
	return c.line()
}

func (c *client) line() string {
	for {
		l, err := c.in.ReadString('\n')
		if err != nil || len(l) < 4 {
			return ""
		}
		if l[3] == ' ' {
			return strings.TrimSpace(l)
		}
	}
}

func (c *client) signIn(user, password string) string {
	return c.say("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)))
}

// send submits a message and returns the last answer.
func (c *client) send(from string, to ...string) string { return c.letter("x", from, to...) }

// letter submits a message that says something, and returns the last answer.
func (c *client) letter(text, from string, to ...string) string {
	if r := c.say("MAIL FROM:<" + from + ">"); !strings.HasPrefix(r, "2") {
		return r
	}
	for _, a := range to {
		if r := c.say("RCPT TO:<" + a + ">"); !strings.HasPrefix(r, "2") {
			return r
		}
	}
	if r := c.say("DATA"); !strings.HasPrefix(r, "3") {
		return r
	}
	return c.say("From: <" + from + ">\r\nSubject: x\r\n\r\n" + text + "\r\n.")
}

func tlsConfig(t *testing.T, s *rig.Server) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(s.CA)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, ServerName: s.Hostname}
}
