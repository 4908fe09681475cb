package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	smtpwire "sallyport/internal/smtp/wire"
)

// dialogue plays a client. Each line of the transcript is one of
//
//	C: text        send the text and CRLF
//	C+ "text"      send exactly this, a Go string
//	S: 250 2.0.0   expect one whole reply that begins so
//	S.             expect the connection to be closed without another word
//	TLS            begin TLS
//	CLOSE          close the sending side
//
// All C lines that stand together are sent in one write. A transcript that does not
// end with S. must be answered exactly once more, with 250 or 421 to NOOP: nothing
// else was left unread.
type dialogue struct {
	t      *testing.T
	raw    net.Conn
	nc     net.Conn
	br     *bufio.Reader
	client *tls.Config
	out    []byte
}

// play runs a transcript against a server on a real socket.
func play(t *testing.T, cfg Config, client *tls.Config, m *memory, transcript string) {
	t.Helper()
	d := connect(t, cfg, client, m)
	d.run(transcript)
}

// connect serves one connection over TCP; the test ends when it is closed.
func connect(t *testing.T, cfg Config, client *tls.Config, m *memory) *dialogue {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan struct{})
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	served, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(done)
		ServeConn(context.Background(), served, cfg, m)
	}()
	t.Cleanup(func() {
		nc.Close()
		<-done
		opened := 1
		if !m.greeting.IsZero() {
			opened = 0
		}
		m.check(t, opened)
	})
	d := &dialogue{t: t, raw: nc, nc: nc, br: bufio.NewReader(nc), client: client}
	if cfg.Kind == KindSubmissions {
		d.startTLS()
	}
	return d
}

func (d *dialogue) run(transcript string) {
	d.t.Helper()
	closed := false
	for line := range strings.Lines(transcript) {
		line = strings.Trim(line, "\t\n")
		if line == "" {
			continue
		}
		closed = d.step(line)
		if d.t.Failed() {
			return
		}
	}
	d.send()
	if !closed {
		d.expectOneReplyToNOOP()
	}
}

func (d *dialogue) step(line string) (closed bool) {
	d.t.Helper()
	_ = d.raw.SetDeadline(time.Now().Add(5 * time.Second))
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "C:":
		d.out = append(d.out, rest+"\r\n"...)
		return false
	case "C+":
		text, err := strconv.Unquote(rest)
		if err != nil {
			d.t.Fatalf("%s: %v", line, err)
		}
		d.out = append(d.out, text...)
		return false
	}
	d.send()
	switch word {
	case "S:":
		d.expect(rest)
	case "S.":
		d.expectClosed()
		return true
	case "TLS":
		d.startTLS()
	case "CLOSE":
		if err := d.raw.(*net.TCPConn).CloseWrite(); err != nil {
			d.t.Fatal(err)
		}
	default:
		d.t.Fatalf("transcript: %q", line)
	}
	return false
}

func (d *dialogue) send() {
	d.t.Helper()
	if len(d.out) == 0 {
		return
	}
	// A server that has closed already is seen where its reply is read.
	_, _ = d.nc.Write(d.out)
	d.out = nil
}

func (d *dialogue) expect(want string) {
	d.t.Helper()
	r, err := smtpwire.ReadReply(d.br, smtpwire.DefaultReplyLimits())
	if err != nil {
		d.t.Fatalf("want %q; got %v", want, err)
	}
	if !strings.HasPrefix(r.String(), want) {
		d.t.Fatalf("want %q; got %q", want, r)
	}
}

func (d *dialogue) expectClosed() {
	d.t.Helper()
	if rest, err := io.ReadAll(d.br); len(rest) > 0 {
		d.t.Fatalf("want the end of the connection; got %q, %v", rest, err)
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		d.t.Fatal("want the end of the connection; it stays open")
	}
}

func (d *dialogue) expectOneReplyToNOOP() {
	d.t.Helper()
	d.step("C: NOOP")
	d.step("C: QUIT")
	d.step("S: 250 2.0.0")
	d.step("S: 221 2.0.0")
	d.step("S.")
}

func (d *dialogue) startTLS() {
	d.t.Helper()
	tc := tls.Client(d.raw, d.client)
	if err := tc.Handshake(); err != nil {
		d.t.Fatal(err)
	}
	d.nc, d.br = tc, bufio.NewReader(tc)
}

// tape is a connection whose client has said everything beforehand, cut into
// packets of the sizes given. It needs no goroutine.
type tape struct {
	cut  func() int // size of the next packet; 0: all that is left
	in   []byte
	out  []byte
	shut bool
}

func (c *tape) Read(p []byte) (int, error) {
	if len(c.in) == 0 || c.shut {
		return 0, io.EOF
	}
	n := min(len(p), len(c.in))
	if size := c.cut(); size > 0 {
		n = min(n, size)
	}
	copy(p, c.in[:n])
	c.in = c.in[n:]
	return n, nil
}

func (c *tape) Write(p []byte) (int, error) {
	c.out = append(c.out, p...)
	return len(p), nil
}

func (c *tape) Close() error                     { c.shut = true; return nil }
func (c *tape) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// playTape serves what the client said, cut so, and returns the replies' codes.
func playTape(cfg Config, m *memory, in string, cut func() int) []string {
	c := &tape{in: []byte(in), cut: cut}
	ServeConn(context.Background(), c, cfg, m)
	return codes(c.out)
}

// codes returns the codes of all replies in out, and last, if out ends otherwise
// than with a whole reply, that.
func codes(out []byte) []string {
	br := bufio.NewReader(strings.NewReader(string(out)))
	var all []string
	for {
		r, err := smtpwire.ReadReply(br, smtpwire.DefaultReplyLimits())
		if err == io.EOF {
			return all
		}
		if err != nil {
			return append(all, err.Error())
		}
		all = append(all, strconv.Itoa(r.Code))
	}
}
