package node

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// client is an SMTP client that says what it is told.
type client struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

// connect opens a connection and reads the greeting.
func connect(t testing.TB, at string) *client {
	t.Helper()
	c, err := net.DialTimeout("tcp", at, 5*time.Second)
	must(t, err)
	return greeted(t, c)
}

// connectTLS does so with TLS from the first octet.
func connectTLS(t testing.TB, at string, cfg *tls.Config) *client {
	t.Helper()
	c, err := tls.Dial("tcp", at, cfg)
	must(t, err)
	return greeted(t, c)
}

func greeted(t testing.TB, conn net.Conn) *client {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	c := &client{t: t, c: conn, r: bufio.NewReader(conn)}
	c.want("220")
	return c
}

// reply reads one reply, its lines joined by "\n"; "" when the connection ended.
func (c *client) reply() string {
	var lines []string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return ""
		}
		lines = append(lines, strings.TrimSuffix(line, "\r\n"))
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "\n")
		}
	}
}

// want demands that the next reply begins so.
func (c *client) want(prefix string) string {
	c.t.Helper()
	r := c.reply()
	if !strings.HasPrefix(r, prefix) {
		c.t.Fatalf("got %q, want %s", r, prefix)
	}
	return r
}

// say sends a line and returns the reply.
func (c *client) say(format string, args ...any) string {
	if _, err := fmt.Fprintf(c.c, format+"\r\n", args...); err != nil {
		return ""
	}
	return c.reply()
}

// ok sends a line and demands a reply that begins so.
func (c *client) ok(prefix, format string, args ...any) {
	c.t.Helper()
	if r := c.say(format, args...); !strings.HasPrefix(r, prefix) {
		c.t.Fatalf("%s: got %q, want %s", fmt.Sprintf(format, args...), r, prefix)
	}
}

func (c *client) startTLS(cfg *tls.Config) {
	c.t.Helper()
	c.ok("220", "STARTTLS")
	conn := tls.Client(c.c, cfg)
	must(c.t, conn.Handshake())
	c.c, c.r = conn, bufio.NewReader(conn)
}

func plain(account string) string {
	return "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+password))
}

// send gives a whole message and returns the reply that decides; a refusal before
// the data ends the transaction.
func (c *client) send(from, text string, to ...string) string {
	commands := []string{"MAIL FROM:<" + from + ">"}
	for _, r := range to {
		commands = append(commands, "RCPT TO:<"+r+">")
	}
	for _, line := range append(commands, "DATA") {
		r := c.say("%s", line)
		if !strings.HasPrefix(r, "250") && !strings.HasPrefix(r, "354") {
			if r != "" {
				c.say("RSET")
			}
			return r
		}
	}
	// RFC 5321 §4.5.2.
	stuffed := strings.ReplaceAll("\r\n"+text, "\r\n.", "\r\n..")[2:]
	return c.say("%s.", stuffed)
}

// queueID is the id in the reply that accepted a message.
func queueID(reply string) string {
	_, id, _ := strings.Cut(reply, "queued as ")
	return id
}
