package site

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

// Client is an SMTP client that says what it is told.
type Client struct {
	t    testing.TB
	Conn net.Conn
	r    *bufio.Reader
}

// Connect opens a connection and reads the greeting.
func Connect(t testing.TB, at string) *Client {
	t.Helper()
	c, err := net.DialTimeout("tcp", at, 5*time.Second)
	Must(t, err)
	return greeted(t, c)
}

// ConnectTLS does so with TLS from the first octet.
func ConnectTLS(t testing.TB, at string, cfg *tls.Config) *Client {
	t.Helper()
	c, err := tls.Dial("tcp", at, cfg)
	Must(t, err)
	return greeted(t, c)
}

func greeted(t testing.TB, conn net.Conn) *Client {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	Must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	c := &Client{t: t, Conn: conn, r: bufio.NewReader(conn)}
	c.Want("220")
	return c
}

// Reply reads one reply, its lines joined by "\n"; "" when the connection ended.
func (c *Client) Reply() string {
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

// Want demands that the next reply begins so.
func (c *Client) Want(prefix string) string {
	c.t.Helper()
	r := c.Reply()
	if !strings.HasPrefix(r, prefix) {
		c.t.Fatalf("got %q, want %s", r, prefix)
	}
	return r
}

// Say sends a line and returns the reply.
func (c *Client) Say(format string, args ...any) string {
	if _, err := fmt.Fprintf(c.Conn, format+"\r\n", args...); err != nil {
		return ""
	}
	return c.Reply()
}

// OK sends a line and demands a reply that begins so.
func (c *Client) OK(prefix, format string, args ...any) {
	c.t.Helper()
	if r := c.Say(format, args...); !strings.HasPrefix(r, prefix) {
		c.t.Fatalf("%s: got %q, want %s", fmt.Sprintf(format, args...), r, prefix)
	}
}

// StartTLS asks for TLS and begins it.
func (c *Client) StartTLS(cfg *tls.Config) {
	c.t.Helper()
	c.OK("220", "STARTTLS")
	conn := tls.Client(c.Conn, cfg)
	Must(c.t, conn.Handshake())
	c.Conn, c.r = conn, bufio.NewReader(conn)
}

// Plain is the command that signs in to an account.
func Plain(account string) string {
	return "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+Password))
}

// Send gives a whole message and returns the reply that decides; a refusal before
// the data ends the transaction.
func (c *Client) Send(from, text string, to ...string) string {
	commands := []string{"MAIL FROM:<" + from + ">"}
	for _, r := range to {
		commands = append(commands, "RCPT TO:<"+r+">")
	}
	for _, line := range append(commands, "DATA") {
		r := c.Say("%s", line)
		if !strings.HasPrefix(r, "250") && !strings.HasPrefix(r, "354") {
			if r != "" {
				c.Say("RSET")
			}
			return r
		}
	}
	// RFC 5321 §4.5.2.
	stuffed := strings.ReplaceAll("\r\n"+text, "\r\n.", "\r\n..")[2:]
	return c.Say("%s.", stuffed)
}

// QueueID is the id in the reply that accepted a message.
func QueueID(reply string) string {
	_, id, _ := strings.Cut(reply, "queued as ")
	return id
}

// SignIn opens a session on either submission port and signs in.
func (s *Site) SignIn(n *Running, implicit bool, account string) *Client {
	s.t.Helper()
	var c *Client
	if implicit {
		c = ConnectTLS(s.t, n.Addrs().Submissions[0], s.ClientTLS())
	} else {
		c = Connect(s.t, n.Addrs().Submission[0])
		c.OK("250", "EHLO client.test")
		c.StartTLS(s.ClientTLS())
	}
	c.OK("250", "EHLO client.test")
	c.OK("235", "%s", Plain(account))
	return c
}
