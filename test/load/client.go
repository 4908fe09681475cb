package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// clientTimeout bounds every wait for a reply.
const clientTimeout = 60 * time.Second

// client is one connection of the generator, after EHLO and sign-in.
type client struct {
	c  net.Conn
	br *bufio.Reader
}

// connect brings a connection to where a transaction can begin.
func connect(ctx context.Context, o Options) (*client, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	nc, err := d.DialContext(ctx, "tcp", o.Addr())
	if err != nil {
		return nil, err
	}
	c := &client{c: nc, br: bufio.NewReader(nc)}
	if err := c.open(ctx, o); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *client) open(ctx context.Context, o Options) error {
	if o.Security == Implicit {
		if err := c.handshake(ctx, o.TLS); err != nil {
			return err
		}
	}
	if err := c.expect("", 220); err != nil {
		return err
	}
	if err := c.expect("EHLO load.invalid", 250); err != nil {
		return err
	}
	if o.Security == StartTLS {
		if err := c.expect("STARTTLS", 220); err != nil {
			return err
		}
		if err := c.handshake(ctx, o.TLS); err != nil {
			return err
		}
		if err := c.expect("EHLO load.invalid", 250); err != nil {
			return err
		}
	}
	if o.User == "" {
		return nil
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + o.User + "\x00" + o.Password))
	return c.expect("AUTH PLAIN "+plain, 235)
}

func (c *client) handshake(ctx context.Context, cfg *tls.Config) error {
	t := tls.Client(c.c, cfg)
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.c = t
	c.br.Reset(t)
	return nil
}

// send sends one message and returns the code of the reply that decides: to the
// end of its data, or the refusal before it.
func (c *client) send(o Options, id string, to []string) (int, error) {
	lines := []string{"MAIL FROM:<" + o.From + ">"}
	for _, a := range to {
		lines = append(lines, "RCPT TO:<"+a+">")
	}
	lines = append(lines, "DATA")
	if o.Pipelining {
		if err := c.write(strings.Join(lines, "\r\n") + "\r\n"); err != nil {
			return 0, err
		}
	}
	refused := 0
	for i, line := range lines {
		if !o.Pipelining {
			if err := c.write(line + "\r\n"); err != nil {
				return 0, err
			}
		}
		code, _, err := c.reply()
		if err != nil {
			return 0, err
		}
		if ok := code/100 == 2 || i == len(lines)-1 && code == 354; !ok && refused == 0 {
			refused = code
		}
		if refused != 0 && !o.Pipelining {
			return refused, c.expect("RSET", 250)
		}
	}
	if refused != 0 {
		return refused, c.expect("RSET", 250)
	}
	if err := c.write(o.message(id, to[0])); err != nil {
		return 0, err
	}
	code, _, err := c.reply()
	return code, err
}

// message returns a whole message with its end of data.
func (o Options) message(id, to string) string {
	if o.Text != "" {
		return o.Text + ".\r\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s>\r\nSubject: load %s\r\nDate: %s\r\nMessage-ID: <%s@load.invalid>\r\n%s%s\r\n\r\n",
		o.From, to, id, time.Now().UTC().Format(time.RFC1123Z), id, IDField, id)
	const line = "The quick brown fox jumps over the lazy dog, 0123456789 times over.\r\n"
	for b.Len()+len(line) <= o.Size {
		b.WriteString(line)
	}
	if rest := o.Size - b.Len(); rest > 2 {
		b.WriteString(line[:rest-2] + "\r\n")
	}
	return b.String() + ".\r\n"
}

// expect sends a line ("": none) and demands a code.
func (c *client) expect(line string, want int) error {
	if line != "" {
		if err := c.write(line + "\r\n"); err != nil {
			return err
		}
	}
	code, text, err := c.reply()
	if err != nil {
		return err
	}
	if code != want {
		verb, _, _ := strings.Cut(line, " ")
		return fmt.Errorf("%s: %d %s", verb, code, text)
	}
	return nil
}

func (c *client) write(s string) error {
	if err := c.c.SetWriteDeadline(time.Now().Add(clientTimeout)); err != nil {
		return err
	}
	_, err := c.c.Write([]byte(s))
	return err
}

// reply reads one reply.
func (c *client) reply() (code int, text string, err error) {
	if err := c.c.SetReadDeadline(time.Now().Add(clientTimeout)); err != nil {
		return 0, "", err
	}
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return 0, "", err
		}
		if len(line) < 5 {
			return 0, "", fmt.Errorf("short reply %q", line)
		}
		code, err = strconv.Atoi(string(line[:3]))
		if err != nil {
			return 0, "", fmt.Errorf("bad reply %q", line)
		}
		if line[3] != '-' {
			return code, strings.TrimSpace(string(line[4:])), nil
		}
	}
}

// quit ends the session politely; its failure changes nothing.
func (c *client) quit() {
	if c.write("QUIT\r\n") == nil {
		_, _, _ = c.reply()
	}
}

func (c *client) close() { _ = c.c.Close() }

// Wire returns a message from a mailbox, whose lines end in LF, as it is over the wire.
func Wire(octets []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(octets, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}
