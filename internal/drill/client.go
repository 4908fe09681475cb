package drill

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/drill/stage"
	"sallyport/internal/drill/verdict"
)

// door is where a client knocks.
type door uint8

const (
	doorMX          door = iota + 1 // the world's
	doorSubmission                  // STARTTLS, then sign in
	doorSubmissions                 // TLS from the first octet, then sign in
)

// What a configuration may lack, so that a scenario cannot be played on it.
var (
	errNoDoor    = errors.New("this configuration has no door for it")
	errNoForward = errors.New("this configuration forwards to nobody elsewhere")
)

// clientPatience is how long a client waits for one reply.
const clientPatience = 30 * time.Second

// client is one connection that says what it is told, right or wrong.
type client struct {
	net.Conn
	in *bufio.Reader
}

// at is the address of a door; "": there is none.
func (a *act) at(d door) string {
	all := map[door][]string{
		doorMX: a.stage.Addrs.MX, doorSubmission: a.stage.Addrs.Submission,
		doorSubmissions: a.stage.Addrs.Submissions,
	}[d]
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// served is the door that is there for those who use d: people sign in at either of theirs.
func (a *act) served(d door) door {
	other := map[door]door{doorSubmission: doorSubmissions, doorSubmissions: doorSubmission}[d]
	if a.at(d) == "" && a.at(other) != "" {
		return other
	}
	return d
}

// people reports whether there is a door at which people sign in.
func (a *act) people() bool { return a.at(a.served(doorSubmissions)) != "" }

// knock connects from a network, and says EHLO, under TLS where people sign in. The zero peer
// is this host itself. Where one of the two doors of our people is not there, the other one is called.
func (a *act) knock(ctx context.Context, d door, peer netip.Addr) (*client, error) {
	d = a.served(d)
	c, err := a.connect(ctx, d, peer)
	if err != nil {
		return nil, err
	}
	if err := c.greet(d, a.stage.TLS); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

const (
	// enterTime is how long somebody tries to get in where there is no room, and enterPause how long each time.
	enterTime  = 5 * time.Second
	enterPause = 10 * time.Millisecond
)

// call is knock, again and again until there is room: who was there before may not have been counted out yet.
func (a *act) call(ctx context.Context, d door, peer netip.Addr) (*client, error) {
	for began := time.Now(); ; time.Sleep(enterPause) {
		c, err := a.knock(ctx, d, peer)
		var away *awayError
		if !errors.As(err, &away) || time.Since(began) > enterTime || ctx.Err() != nil {
			return c, err
		}
	}
}

// connect only connects.
func (a *act) connect(ctx context.Context, d door, peer netip.Addr) (*client, error) {
	at := a.at(d)
	if at == "" {
		return nil, errNoDoor
	}
	dialer := net.Dialer{Timeout: clientPatience}
	if peer.IsValid() {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(stage.Balancer)}
	}
	raw, err := dialer.DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	c := &client{raw, bufio.NewReader(raw)}
	if peer.IsValid() {
		_, err = fmt.Fprintf(c, "PROXY TCP4 %s 192.0.2.1 %d 25\r\n", peer, 1024+raw.LocalAddr().(*net.TCPAddr).Port%60000)
	}
	return c, err
}

// awayError is that a connection was turned away with a reply, or without a word.
type awayError struct{ reply string }

// Error implements error.
func (e *awayError) Error() string { return fmt.Sprintf("greeted with %q", e.reply) }

func (c *client) greet(d door, trusted *tls.Config) error {
	over := func() {
		t := tls.Client(c.Conn, trusted)
		c.Conn, c.in = t, bufio.NewReader(t)
	}
	if d == doorSubmissions {
		over()
	}
	if r := c.reply(); !good(r) {
		return &awayError{r}
	}
	r := c.say("EHLO client.drill.test")
	if d == doorSubmission {
		if r = c.say("STARTTLS"); good(r) {
			over()
			r = c.say("EHLO client.drill.test")
		}
	}
	if !good(r) {
		return fmt.Errorf("answered with %q", r)
	}
	return nil
}

// good reports whether a reply says yes.
func good(reply string) bool { return strings.HasPrefix(reply, "2") }

// say sends a line and returns the last line of the reply; "" when the connection ended.
func (c *client) say(line string) string {
	if err := c.put(line + "\r\n"); err != nil {
		return ""
	}
	return c.reply()
}

func (c *client) put(text string) error {
	if err := c.SetDeadline(time.Now().Add(clientPatience)); err != nil {
		return err
	}
	_, err := io.WriteString(c, text)
	return err
}

// reply reads one reply, and returns its last line.
func (c *client) reply() string {
	if err := c.SetReadDeadline(time.Now().Add(clientPatience)); err != nil {
		return ""
	}
	for {
		line, err := c.in.ReadString('\n')
		if err != nil || len(line) < 4 {
			return ""
		}
		if line[3] != '-' {
			return strings.TrimSpace(line)
		}
	}
}

func (c *client) signIn(of stage.Account) string {
	return c.say("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+of.Address+"\x00"+of.Password)))
}

// quit goes politely.
func (c *client) quit() {
	c.say("QUIT")
	_ = c.Close()
}

// letter is one message to be sent.
type letter struct {
	id      string
	actor   verdict.Actor
	account string // "": nobody's
	from    string // envelope sender
	to      []string
	authors string // From and what else names authors, as header lines; "": From is the envelope sender
	body    string // with CRLF line ends, and dots as they go over the wire
	fields  string // more header lines
}

// text is the message as it goes over the wire, without the end of data.
func (l letter) text() string {
	authors := l.authors
	if authors == "" {
		authors = "From: <" + l.from + ">\r\n"
	}
	account := l.account
	if account == "" {
		account = "-"
	}
	body := l.body
	if body == "" {
		body = "A message of a rehearsal.\r\n"
	}
	return fmt.Sprintf("%s: %s %s %s\r\nMessage-ID: <%s>\r\nDate: %s\r\n%sTo: undisclosed-recipients:;\r\nSubject: rehearsal %s\r\n%s\r\n%s",
		stage.Mark, l.id, l.actor, account, verdict.MessageID(l.id), time.Now().Format(time.RFC1123Z), authors, l.id, l.fields, body)
}

// post sends a letter, and notes it when it was acknowledged; it returns the reply that decided.
func (a *act) post(c *client, l letter) string {
	// In one go, as RFC 2920 §3.1 allows.
	var lines strings.Builder
	lines.WriteString("MAIL FROM:<" + l.from + ">\r\n")
	for _, to := range l.to {
		lines.WriteString("RCPT TO:<" + to + ">\r\n")
	}
	if err := c.put(lines.String()); err != nil {
		return ""
	}
	first := c.reply()
	var taken []string
	var last string
	for _, to := range l.to {
		if last = c.reply(); good(last) {
			taken = append(taken, to)
		}
	}
	if !good(first) || len(taken) == 0 {
		c.say("RSET")
		if !good(first) {
			last = first
		}
		return last
	}
	if r := c.say("DATA"); !strings.HasPrefix(r, "354") {
		return r
	}
	text := l.text()
	r := c.say(text + ".")
	if good(r) {
		a.acknowledged(verdict.Ack{ID: l.id, To: taken, Size: int64(len(text))})
	}
	return r
}
