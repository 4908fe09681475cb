package pop3

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"

	"sallyport/internal/door/textconn"
	"sallyport/internal/mail"
)

// Serve speaks with one client until one of the two ends it, and closes the connection. When
// ctx is done, the client is told so. Options that are unfit close the connection at once, with
// an error in the log if there is one.
func Serve(ctx context.Context, nc net.Conn, o *Options) {
	c, err := newConn(nc, o)
	if err != nil {
		if o.Logger != nil {
			o.Logger.Error("connection closed", "err", err)
		}
		_ = nc.Close()
		return
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.Interrupt(textconn.Ending{Why: EndShutdown, Text: "the server is shutting down"}) })
	defer stop()
	c.Cancelled(cancel)
	c.finish(inner, c.converse(inner))
}

// conn is one connection in conversation.
type conn struct {
	*textconn.Conn
	o    *Options
	info Conn
	sess Session

	tls   *tls.ConnectionState // nil: clear text
	offer string

	user string // that USER named
	drop *maildrop

	strange, bad, authFailures int // commands before sign-in, commands in a row that were none, sign-ins that failed
	// stray: a sign-in has just failed, and an answer that the client still owed may follow.
	stray bool
}

// result is what a command came to. The empty one was answered already.
type result struct {
	status     string // +OK or -ERR
	code, text string
	bad        bool   // it was no command
	end        string // why the connection ends after it, "" if it goes on
}

func ok(text string) result           { return result{status: "+OK", text: text} }
func failed(code, text string) result { return result{status: "-ERR", code: code, text: text} }
func bad(text string) result          { return result{status: "-ERR", text: text, bad: true} }

func (r result) ending(why string) result {
	r.end = why
	return r
}

func newConn(nc net.Conn, o *Options) (*conn, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	started := o.Now()
	id, err := mail.NewID(started, rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: textconn.New(nc, textconn.Options{
		Now: o.Now, SignInBy: started.Add(o.Limits.StrangerDuration), WriteTimeout: o.Limits.WriteTimeout, OutOctets: o.Limits.OutOctets,
		EndGrace: o.Limits.EndGrace, LingerTimeout: o.Limits.LingerTimeout, LingerOctets: o.Limits.LingerOctets,
	}), o: o}
	c.info = Conn{
		ID: id.String(), Implicit: o.Implicit, Remote: textconn.AddrPort(nc.RemoteAddr()),
		Local: textconn.AddrPort(nc.LocalAddr()), Started: started,
		End: func(text string) { c.Interrupt(textconn.Ending{Why: EndPolicy, Text: text}) },
	}
	return c, nil
}

// converse holds the whole conversation and returns why it ended.
func (c *conn) converse(ctx context.Context) (end string) {
	if c.o.Implicit {
		if err := c.handshake(ctx); err != nil {
			return EndTLS
		}
	}
	sess, err := c.o.Backend.Connect(ctx, c.info)
	if c.sess = sess; err != nil || sess == nil {
		res := failed("SYS/TEMP", "not now; try again later")
		if r, known := errors.AsType[*Refusal](err); known {
			res = failed(r.Code, r.Text)
		}
		return c.settle(res.ending(EndPolicy))
	}
	c.Line("+OK ", c.o.Hostname, " POP3 ready") // without <>: APOP is not offered
	for {
		if end := c.turn(ctx); end != "" {
			return end
		}
	}
}

// finish ends the connection: exactly once, whatever ended it.
func (c *conn) finish(ctx context.Context, end string) {
	// What is told at the end must be heard although the connection is no more.
	ctx = context.WithoutCancel(ctx)
	if c.drop != nil {
		c.drop.box.Close()
		c.o.Locks.give(c.drop.user)
	}
	_ = c.Flush()
	if c.sess != nil {
		c.sess.Close(ctx, end)
	}
	c.o.Logger.Debug("connection ended", "conn", c.info.ID, "remote", c.info.Remote.String(), "why", end)
	switch end {
	case EndQuit, EndEOF, EndTimeout, EndTLS, EndShutdown, EndPolicy, EndLost:
		c.Close()
	default:
		c.Linger()
	}
}

// turn reads one command and answers it.
func (c *conn) turn(ctx context.Context) (end string) {
	if c.Ended() {
		return c.broken(textconn.ErrEnding)
	}
	c.Rest()
	timeout := c.o.Limits.StrangerTimeout
	if c.drop != nil {
		timeout = c.o.Limits.IdleTimeout
	}
	c.WaitUntil(c.o.Now().Add(timeout))
	if err := c.In.Wait(); err != nil {
		return c.broken(err)
	}
	if c.drop != nil {
		c.WaitUntil(c.o.Now().Add(c.o.Limits.CommandTimeout))
	} else if c.strange++; c.strange > c.o.Limits.StrangerCommands {
		return c.settle(failed("", "too many commands without a sign-in").ending(EndErrors))
	}
	line, err := c.readLine()
	if err != nil {
		return c.broken(err)
	}
	if c.stray && isStray(line) {
		c.stray = false
		return ""
	}
	cmd := parseCommand(line)
	if len(line)+2 > c.o.Limits.CommandOctets && cmd.verb != "AUTH" {
		return c.settle(bad("the command is too long"))
	}
	if c.drop != nil {
		return c.settle(c.both(cmd, func() result { return c.transaction(ctx, cmd) }))
	}
	if c.strange == 1 && isOtherProtocol(line) {
		return c.settle(failed("", "this is POP3").ending(EndNotPOP3))
	}
	return c.settle(c.both(cmd, func() result { return c.authorization(ctx, cmd) }))
}

// readLine reads a line, without its end.
func (c *conn) readLine() ([]byte, error) {
	line, err := c.In.Line(nil, c.o.Limits.AuthOctets)
	return bytes.TrimSuffix(line, []byte("\r\n")), err
}

// both answers what may be said before sign-in and behind it. RFC 2449 §5.
func (c *conn) both(cmd command, other func() result) result {
	if cmd.verb != "CAPA" {
		return other()
	}
	c.Line("+OK")
	for _, capability := range c.capabilities() {
		c.Line(capability)
	}
	c.Line(".")
	return result{}
}

// capabilities lists what is on offer. RFC 2449 §6.
func (c *conn) capabilities() []string {
	out := []string{"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8"}
	if c.drop != nil {
		return out
	}
	if c.tls == nil {
		if c.o.TLS != nil {
			out = append(out, "STLS")
		}
		return out
	}
	mechanisms := c.sess.Mechanisms(c.channel())
	if offersPlain(mechanisms) {
		out = append(out, "USER")
	}
	if len(mechanisms) > 0 {
		out = append(out, "SASL "+strings.Join(mechanisms, " "))
	}
	return out
}

// isStray reports whether a line is what some programs still say when a sign-in has failed at
// once: an empty line, or the ^A that RFC 7628 §3.2.3 asks for after a challenge.
func isStray(line []byte) bool { return len(line) == 0 || string(line) == "AQ==" }

// isOtherProtocol: a browser that is made to speak with us must not be answered further.
func isOtherProtocol(b []byte) bool {
	for _, method := range []string{"GET /", "POST /", "PUT /", "HEAD /", "OPTIONS /", "CONNECT "} {
		if bytes.HasPrefix(b, []byte(method)) {
			return true
		}
	}
	return false
}

// settle answers a command: the one place where answers are written and counted.
func (c *conn) settle(res result) (end string) {
	if res.status != "" {
		word := res.status
		if res.code != "" {
			word += " [" + res.code + "]"
		}
		if res.text != "" {
			word += " " + res.text
		}
		c.Line(word)
	}
	if c.bad++; !res.bad {
		c.bad = 0
	}
	if res.end == "" && c.bad >= c.o.Limits.Errors {
		c.Line("-ERR too many commands in a row that are none")
		return EndErrors
	}
	return res.end
}

// broken answers the end of the input, if there is anybody to answer.
func (c *conn) broken(err error) (end string) {
	switch {
	case errors.Is(err, textconn.ErrEnding):
		e := c.Ending()
		return c.settle(failed("SYS/TEMP", e.Text).ending(e.Why))
	case errors.Is(err, textconn.ErrTooLong):
		return c.settle(failed("", "the command is too long").ending(EndTooLong))
	case errors.Is(err, textconn.ErrControl):
		return c.settle(failed("", "a line holds NUL or a bare CR").ending(EndErrors))
	case errors.Is(err, textconn.ErrDuration):
		return c.settle(failed("", "nobody has signed in for too long").ending(EndDuration))
	case errors.Is(err, textconn.ErrTimeout):
		// RFC 1939 §3: the session ends without a word, and nothing is deleted.
		return EndTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return EndEOF
	}
	c.o.Logger.Debug("connection lost", "conn", c.info.ID, "err", err)
	return EndEOF
}

// channel is what a sign-in comes over.
func (c *conn) channel() Channel {
	if c.tls == nil {
		return Channel{}
	}
	_, err := c.tls.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32) // RFC 9266
	var presented *x509.Certificate
	if len(c.o.TLS.Certificates) == 1 {
		presented = c.o.TLS.Certificates[0].Leaf
	}
	return Channel{TLS: c.tls, Certificate: presented, Offer: c.offer, Plus: err == nil}
}
