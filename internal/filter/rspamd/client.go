package rspamd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/mail"
)

// ErrBusy says that as many questions are asked as may be.
var ErrBusy = errors.New("rspamd: all connections are in use")

// Options say where an Rspamd is. Socket or URL is required.
type Options struct {
	URL      string // "http://host:port" or "https://host:port"
	Socket   string // path of a UNIX socket, instead of the URL
	Password string // "": none is sent
	Limits   Limits
}

// Limits bound one client.
type Limits struct {
	// Time is how long one question may take, waiting for a connection included.
	Time time.Duration
	// Connections is how many connections there may be at once.
	Connections int
	// AnswerOctets is the longest answer that is read, without those parts of it that are passed
	// over.
	AnswerOctets int
	// AnswerHeaderOctets is the longest header section of an answer.
	AnswerHeaderOctets int
	// Symbols is how many symbols of an answer are kept, those that weigh most.
	Symbols int
	// Fields is how many header fields of an answer are kept.
	Fields int
}

// DefaultLimits are right for an Rspamd on the same host.
func DefaultLimits() Limits {
	return Limits{Time: 15 * time.Second, Connections: 20, AnswerOctets: 1 << 20, AnswerHeaderOctets: 16 << 10, Symbols: 20, Fields: 20}
}

// Request is what Rspamd is told of a message beside the message itself.
type Request struct {
	IP       netip.Addr
	Client   string // the name that its address proves; "": none is known
	Hello    string // as the client said it
	From     mail.ReversePath
	To       []mail.Recipient
	User     mail.Address // who signed in; zero: nobody
	QueueID  mail.ID
	Hostname mail.Domain // our own name
	// TLSVersion and TLSCipher are empty for clear text.
	TLSVersion, TLSCipher string
	Size                  int64 // octets of the message
}

// Client asks one Rspamd. It is used by many at once.
type Client struct {
	o     Options
	url   string
	http  *http.Client
	turns chan struct{}
}

// idleTime is how long a connection is kept that nothing goes over.
const idleTime = 30 * time.Second

// New returns a client; it connects to nothing yet.
func New(o Options) *Client {
	t := &http.Transport{
		MaxConnsPerHost: o.Limits.Connections, MaxIdleConnsPerHost: o.Limits.Connections, IdleConnTimeout: idleTime,
		MaxResponseHeaderBytes: int64(o.Limits.AnswerHeaderOctets), DisableCompression: true, TLSHandshakeTimeout: o.Limits.Time,
	}
	c := &Client{o: o, turns: make(chan struct{}, o.Limits.Connections), url: strings.TrimSuffix(o.URL, "/") + "/checkv2"}
	if o.Socket != "" {
		c.url = "http://localhost/checkv2"
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", o.Socket)
		}
	}
	// A redirection would take other people's mail to who knows where.
	c.http = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

// Options returns what the client was made with.
func (c *Client) Options() Options { return c.o }

// Close ends the connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Check asks about the message of r.Size octets in body. An error means that there is
// no answer that could be understood within the limits.
func (c *Client) Check(ctx context.Context, r Request, body io.Reader) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Limits.Time)
	defer cancel()
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return Answer{}, ErrBusy
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, io.LimitReader(body, r.Size))
	if err != nil {
		return Answer{}, fmt.Errorf("rspamd: %w", err)
	}
	q.ContentLength = r.Size
	r.describe(q.Header)
	if c.o.Password != "" {
		q.Header.Set("Password", c.o.Password)
	}
	resp, err := c.http.Do(q)
	if err != nil {
		return Answer{}, fmt.Errorf("rspamd: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return Answer{}, fmt.Errorf("rspamd: it answers with status %d", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(skim(resp.Body), int64(c.o.Limits.AnswerOctets)+1))
	if err != nil {
		return Answer{}, fmt.Errorf("rspamd: reading the answer: %w", err)
	}
	if len(text) > c.o.Limits.AnswerOctets {
		return Answer{}, errors.New("rspamd: the answer is too large")
	}
	return c.o.Limits.Parse(text)
}

// Ping finds out whether something answers there, without showing it a message. Whoever knows
// no /ping answers too.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Limits.Time)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.url, "/checkv2")+"/ping", nil)
	if err != nil {
		return fmt.Errorf("rspamd: %w", err)
	}
	resp, err := c.http.Do(q)
	if err != nil {
		return fmt.Errorf("rspamd: %w", err)
	}
	defer c.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		err = fmt.Errorf("rspamd: it answers with status %d", resp.StatusCode)
	}
	return errors.Join(err, resp.Body.Close())
}

// mostRecipients is how many octets of a question tell recipients. Rspamd reads a header section of 80 KiB
// and gives no answer to a longer one, so that whoever names enough recipients would be past it.
const mostRecipients = 48 << 10

const recipientField = "Rcpt"

// Told is of how many recipients the question tells, the first ones.
func (r Request) Told() int {
	octets := 0
	for i, to := range r.To {
		if octets += len(recipientField) + len(": \r\n") + to.Address.Octets(); octets > mostRecipients {
			return i
		}
	}
	return len(r.To)
}

// describe writes the header fields of the protocol.
func (r Request) describe(h http.Header) {
	set := func(name, value string) {
		if value != "" {
			h.Set(name, oneLine(value))
		}
	}
	if r.IP.IsValid() {
		set("IP", r.IP.String())
	}
	set("Hostname", r.Client)
	set("Helo", r.Hello)
	set("From", r.From.String())
	for _, to := range r.To[:r.Told()] {
		h.Add(recipientField, oneLine(to.Address.String()))
	}
	if len(r.To) == 1 {
		set("Deliver-To", r.To[0].Address.String())
	}
	if !r.User.IsZero() {
		set("User", r.User.String())
	}
	set("Queue-Id", r.QueueID.String())
	set("MTA-Name", r.Hostname.ASCII())
	set("TLS-Version", r.TLSVersion)
	set("TLS-Cipher", r.TLSCipher)
	h.Set("User-Agent", "sallyport")
}

// mostSaid is how many octets of a peer's words, its greeting say, the question tells.
const mostSaid = 1000

// oneLine makes a peer's words fit for a header field: a word that none may hold must
// not keep the question from being asked.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '?'
		}
		return c
	}, s[:min(len(s), mostSaid)])
}
