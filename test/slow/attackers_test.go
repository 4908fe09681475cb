package slow

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// attack is what the attackers are to do.
type attack struct {
	MX, Submissions string
	Count           int
	Ramp            time.Duration // in which they come
	Stay            time.Duration // from their beginning; who was hung up on before comes again
	Pause           time.Duration // until he does
	Every           time.Duration // between two octets
	Most            time.Duration // for which a connection is watched
	Only            []string      // stages; none: all
}

// gone is what became of the connections in one stage.
type gone struct {
	Stage            string
	Came             int // connections that came so far
	Away             int // that did not: turned away, or ended for others before
	Left             int // that were open still after Most
	Shortest, Median time.Duration
	Longest          time.Duration

	mu    sync.Mutex
	lives []time.Duration
}

// stages are where an attacker lets his octets drip: whoever keeps his connection longest comes first.
var stages = []struct {
	name string
	drip func(*attacker) error
}{
	{"a command before EHLO", func(a *attacker) error { return a.plain("", "EHLO "+strings.Repeat("a", 400)) }},
	{"a command", func(a *attacker) error { return a.plain("EHLO", "MAIL FROM:<"+strings.Repeat("a", 400)) }},
	{"many short commands", func(a *attacker) error { return a.plain("EHLO", strings.Repeat("NOOP\r\n", 80)) }},
	{"a command under TLS, in records", func(a *attacker) error { return a.secure("", "NOOP"+strings.Repeat(" ", 400), false) }},
	{"a record of TLS", func(a *attacker) error { return a.secure("", "NOOP"+strings.Repeat(" ", 400), true) }},
	{"a response of AUTH", func(a *attacker) error { return a.signIn() }},
	{"a message's header", func(a *attacker) error { return a.plain("DATA", "Subject: "+strings.Repeat("a", 400)) }},
	{"a message's text", func(a *attacker) error { return a.plain("DATA", "\r\n"+strings.Repeat("a", 400)) }},
	{"a chunk", func(a *attacker) error { return a.plain("BDAT 100000", strings.Repeat("a", 400)) }},
	{"many small chunks", func(a *attacker) error { return a.plain("RCPT", strings.Repeat("BDAT 1\r\na", 50)) }},
	{"a message under TLS", func(a *attacker) error { return a.secure("DATA", strings.Repeat("a", 400), false) }},
	{"a handshake after STARTTLS", func(a *attacker) error { return a.plain("STARTTLS", a.hello) }},
	{"a handshake before anything", func(a *attacker) error { return a.implicit() }},
}

// attacker is one connection.
type attacker struct {
	*attack
	from  net.Addr
	hello string // how a handshake begins
	drips func(*attacker) error
	c     net.Conn
	br    *bufio.Reader
	began time.Time
}

var (
	errAway = errors.New("turned away")
	errLeft = errors.New("nobody hangs up")
)

// TestAttackers is a child of the sieges.
func TestAttackers(t *testing.T) {
	var a attack
	ctx := ordered(t, &a)
	hello := clientHello(t)
	var out []*gone
	var all sync.WaitGroup
	began, came := time.Now(), 0
	for _, stage := range stages {
		if len(a.Only) > 0 && !slices.Contains(a.Only, stage.name) {
			continue
		}
		g := &gone{Stage: stage.name}
		out = append(out, g)
		for range a.each() {
			one := attacker{attack: &a, from: addressOf(came), hello: hello, drips: stage.drip}
			comes := began.Add(a.Ramp * time.Duration(came) / time.Duration(a.Count))
			came++
			all.Go(func() { one.besiege(ctx, g, comes, began.Add(a.Stay)) })
		}
	}
	all.Wait()
	for _, g := range out {
		if slices.Sort(g.lives); len(g.lives) > 0 {
			g.Shortest, g.Median, g.Longest = g.lives[0], g.lives[len(g.lives)/2], g.lives[len(g.lives)-1]
		}
	}
	reports(t, out)
}

// each is how many attackers each stage has.
func (a *attack) each() int {
	if len(a.Only) > 0 {
		return a.Count / len(a.Only)
	}
	return a.Count / len(stages)
}

// besiege comes, and comes again until then.
func (a *attacker) besiege(ctx context.Context, g *gone, comes, until time.Time) {
	for rest(ctx, comes); ctx.Err() == nil; rest(ctx, time.Now().Add(a.Pause)) {
		life, err := a.visit()
		if ctx.Err() == nil {
			g.note(life, err)
		}
		if time.Now().After(until) {
			return
		}
	}
}

func (g *gone) note(life time.Duration, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case errors.Is(err, errAway):
		g.Away++
	case errors.Is(err, errLeft):
		g.Left++
	default:
		g.Came++
		g.lives = append(g.lives, life)
	}
}

// rest waits until then, or until ctx ends.
func rest(ctx context.Context, then time.Time) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(then)):
	}
}

// addressOf is the address of an attacker: 192 networks of /16, each of which has about as many,
// each in a /24 of its own.
func addressOf(i int) net.Addr {
	return &net.TCPAddr{IP: net.IPv4(10, byte(64+i%192), byte(1+i/192%250), byte(1+i/48000))}
}

// visit is one connection, until the server ends it.
func (a *attacker) visit() (life time.Duration, err error) {
	a.c, a.began = nil, time.Now()
	err = a.drips(a)
	life = time.Since(a.began)
	if a.c == nil {
		return life, errAway
	}
	_ = a.c.Close()
	return life, err
}

func (a *attacker) dial(at string) error {
	d := net.Dialer{LocalAddr: a.from, Timeout: time.Minute}
	c, err := d.Dial("tcp", at)
	if err != nil {
		return err
	}
	a.c, a.br = c, bufio.NewReaderSize(c, 512)
	return c.SetDeadline(time.Now().Add(time.Minute))
}

// say says a line, where it is not empty, and wants an answer that is no refusal.
func (a *attacker) say(line string) error {
	if line != "" {
		if _, err := io.WriteString(a.c, line+"\r\n"); err != nil {
			return errAway
		}
	}
	for {
		got, err := a.br.ReadString('\n')
		if err != nil || got[0] > '3' {
			return errAway
		}
		if len(got) > 3 && got[3] == ' ' {
			return nil
		}
	}
}

// upTo goes through a session up to a command; "" is its beginning.
func (a *attacker) upTo(last string) error {
	if last == "" {
		return nil
	}
	for _, line := range []string{"EHLO slow.invalid", "STARTTLS", "MAIL FROM:<a@slow.test>", "RCPT TO:<bob@local.test>", last} {
		verb, _, _ := strings.Cut(line, " ")
		switch {
		case verb == "STARTTLS" && last != verb:
			continue
		case verb == "BDAT": // it is answered behind its octets
			_, err := io.WriteString(a.c, line+"\r\n")
			return err
		}
		if err := a.say(line); err != nil || verb == last {
			return err
		}
	}
	return nil
}

// plain lets a text drip in clear after a command.
func (a *attacker) plain(last, text string) error {
	if err := a.dial(a.MX); err != nil {
		return err
	}
	if err := a.say(""); err != nil {
		return err
	}
	if err := a.upTo(last); err != nil {
		return err
	}
	return a.drip(a.c, text)
}

// recorder keeps what TLS would write, once it is told to.
type recorder struct {
	net.Conn
	keeps bool
	kept  bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.keeps {
		return r.kept.Write(p)
	}
	return r.Conn.Write(p)
}

// clientHello is how a handshake begins.
func clientHello(t *testing.T) string {
	t.Helper()
	ours, theirs := net.Pipe()
	_ = theirs.Close()
	r := &recorder{Conn: ours, keeps: true}
	_ = tls.Client(r, &tls.Config{InsecureSkipVerify: true}).Handshake()
	if r.kept.Len() < 100 {
		t.Fatal("no handshake begins")
	}
	return r.kept.String()
}

// under puts TLS on the connection.
func (a *attacker) under() (*recorder, error) {
	r := &recorder{Conn: a.c}
	c := tls.Client(r, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		return nil, errAway
	}
	a.c, a.br = c, bufio.NewReaderSize(c, 512)
	return r, nil
}

// secure lets a text drip under TLS after a command, in records of one octet, or one record octet by octet.
func (a *attacker) secure(last, text string, record bool) error {
	if err := a.dial(a.MX); err != nil {
		return err
	}
	if err := a.say(""); err != nil {
		return err
	}
	if err := a.upTo("STARTTLS"); err != nil {
		return err
	}
	r, err := a.under()
	if err != nil {
		return err
	}
	if last == "" {
		last = "EHLO"
	}
	if err := a.upTo(last); err != nil {
		return err
	}
	if !record {
		return a.drip(a.c, text)
	}
	r.keeps = true
	if _, err := io.WriteString(a.c, text); err != nil {
		return err
	}
	return a.drip(r.Conn, r.kept.String())
}

// signIn lets a response drip.
func (a *attacker) signIn() error {
	if err := a.dial(a.Submissions); err != nil {
		return err
	}
	if _, err := a.under(); err != nil {
		return err
	}
	for _, line := range []string{"", "EHLO slow.invalid", "AUTH PLAIN"} {
		if err := a.say(line); err != nil {
			return err
		}
	}
	return a.drip(a.c, strings.Repeat("a", 400))
}

// implicit lets a handshake drip at a door where nothing comes before it.
func (a *attacker) implicit() error {
	if err := a.dial(a.Submissions); err != nil {
		return err
	}
	return a.drip(a.c, a.hello)
}

// drip writes an octet now and then until the server hangs up, which is no error.
func (a *attacker) drip(c net.Conn, text string) error {
	b := make([]byte, 512)
	for i := 0; time.Since(a.began) < a.Most; i++ {
		next := time.Now().Add(a.Every)
		if err := c.SetDeadline(next); err != nil {
			return nil
		}
		if _, err := c.Write([]byte{text[i%len(text)]}); err != nil {
			return nil
		}
		for {
			if _, err := c.Read(b); errors.Is(err, os.ErrDeadlineExceeded) {
				break
			} else if err != nil {
				return nil
			}
		}
	}
	return fmt.Errorf("%w within %v", errLeft, a.Most)
}
