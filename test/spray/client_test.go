package spray

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const patience = 60 * time.Second

// client is a connection to the door for submissions, behind EHLO.
type client struct {
	nc net.Conn
	br *bufio.Reader
}

// dial connects from an address of this host; proxied, if it is one, stands in a header of the
// PROXY protocol before everything else.
func dial(door string, from, proxied netip.Addr, cfg *tls.Config) (*client, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Timeout: patience}
	raw, err := d.Dial("tcp", door)
	if err != nil {
		return nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(patience))
	if proxied.IsValid() {
		fmt.Fprintf(raw, "PROXY TCP4 %s 127.0.0.1 4321 465\r\n", proxied)
	}
	nc := tls.Client(raw, cfg)
	c := &client{nc: nc, br: bufio.NewReader(nc)}
	if _, err = c.reply(); err == nil {
		_, err = c.say("EHLO client.test")
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// close ends the connection without a farewell, as whoever guesses does.
func (c *client) close() { _ = c.nc.Close() }

// reply reads one reply and returns its code.
func (c *client) reply() (code string, err error) {
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			return "", err
		}
		if len(line) > 3 && line[3] == ' ' {
			return line[:3], nil
		}
	}
}

func (c *client) say(line string) (code string, err error) {
	if _, err := fmt.Fprintf(c.nc, "%s\r\n", line); err != nil {
		return "", err
	}
	return c.reply()
}

// signIn signs in by PLAIN, and returns the code of the answer.
func (c *client) signIn(user, password string) (code string, err error) {
	return c.say("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)))
}

// send sends the owner a message of his own.
func (c *client) send(owner string) error {
	for _, l := range []struct{ say, want string }{
		{"MAIL FROM:<" + owner + ">", "250"}, {"RCPT TO:<" + owner + ">", "250"}, {"DATA", "354"},
		{"From: <" + owner + ">\r\nTo: <" + owner + ">\r\nSubject: note\r\n\r\n" + strings.Repeat("A line of an ordinary message.\r\n", 100) + ".", "250"},
	} {
		if code, err := c.say(l.say); err != nil || code != l.want {
			return fmt.Errorf("%.30q: %s, want %s (%v)", l.say, code, l.want, err)
		}
	}
	return nil
}

// tried is one sign-in over a connection of its own.
func tried(door string, from, proxied netip.Addr, cfg *tls.Config, user, password string) (code string, err error) {
	c, err := dial(door, from, proxied, cfg)
	if err != nil {
		return "", err
	}
	defer c.close()
	return c.signIn(user, password)
}

// network returns the address of host in the nth network (a /24) of those that guess: 32 of them in
// each /16.
func network(n, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(10 + n/32), byte(n % 32), byte(host)})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
