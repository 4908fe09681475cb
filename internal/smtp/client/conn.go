package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/smtp/wire"
)

const (
	readOctets  = 4 << 10  // buffer for replies
	writeOctets = 32 << 10 // buffer for messages
	// lateReply is how long a server may take to finish a reply that it began
	// without being asked.
	lateReply = 5 * time.Second
)

// conn is one connection and what it holds. While it is set up, replies are read
// where they are waited for. From start on, one goroutine reads all of them and
// compares with the number that is expected, so that a reply out of step is seen
// when it arrives, whatever else goes on.
type conn struct {
	raw    net.Conn // below TLS; closing it ends everything at once
	net    net.Conn // what is spoken over: raw, or TLS over it
	in     *bufio.Reader
	out    *bufio.Writer // over net, with the deadline of a block for each write
	limits Limits
	block  time.Duration

	expected atomic.Int64  // replies that the commands sent so far will have
	strange  atomic.Bool   // the server has begun a reply that nothing asked for
	replies  chan received // holds Limits.Pipeline of them, all that SMTP ever has waiting
	dead     chan struct{} // closed by fail

	mu    sync.Mutex
	cause error // why it is dead
}

// received is a reply in its turn. trailing says that more was already there when
// it ended, though nothing more was expected.
type received struct {
	reply    mail.Reply
	trailing bool
}

func newConn(raw net.Conn, l Limits, block time.Duration) *conn {
	c := &conn{raw: raw, limits: l, block: block, replies: make(chan received, l.Pipeline), dead: make(chan struct{})}
	c.speakOver(raw)
	return c
}

// speakOver makes nc what is spoken over, with nothing buffered.
func (c *conn) speakOver(nc net.Conn) {
	c.net = nc
	c.in = bufio.NewReaderSize(nc, readOctets)
	c.out = bufio.NewWriterSize(blockWriter{c}, writeOctets)
}

// blockWriter gives every write its own time. RFC 5321 §4.5.3.2.5.
type blockWriter struct{ c *conn }

func (w blockWriter) Write(p []byte) (int, error) {
	if err := w.c.net.SetWriteDeadline(time.Now().Add(w.c.block)); err != nil {
		return 0, err
	}
	return w.c.net.Write(p)
}

// fail ends the connection. The first cause counts.
func (c *conn) fail(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return
	}
	c.cause = cause
	close(c.dead)
	// The connection below TLS: the farewell of TLS could block, and the peer
	// has no claim to it. What is lost by it is known to be lost.
	_ = c.raw.Close()
}

// fault returns the cause of death as an error at a stage.
func (c *conn) fault(stage Stage) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var refused *ReplyError
	if errors.As(c.cause, &refused) {
		return &ReplyError{Reply: refused.Reply, Stage: stage}
	}
	return &ConnError{Stage: stage, Err: c.cause}
}

func (c *conn) alive() bool {
	select {
	case <-c.dead:
		return false
	default:
		return true
	}
}

// exchange sends a line and reads the reply, before start.
func (c *conn) exchange(stage Stage, line string, d time.Duration) (mail.Reply, error) {
	return c.before(stage, d, func() error {
		_, err := c.net.Write([]byte(line + "\r\n"))
		return err
	})
}

// greeting reads the reply that comes first of all.
func (c *conn) greeting(d time.Duration) (mail.Reply, error) {
	return c.before(StageGreeting, d, func() error { return nil })
}

// before writes and reads one reply, before start, all within d.
func (c *conn) before(stage Stage, d time.Duration, write func() error) (mail.Reply, error) {
	var r mail.Reply
	err := c.net.SetDeadline(time.Now().Add(d))
	if err == nil {
		err = write()
	}
	if err == nil {
		r, err = c.readReply()
	}
	if err == nil && c.in.Buffered() > 0 {
		// Whatever follows a reply unasked would be taken for the answer to our
		// next command; after STARTTLS it would be text injected before the
		// handshake. RFC 3207 §4.2.
		err = errTrailing
	}
	if err != nil {
		c.fail(lost(err))
		return mail.Reply{}, c.fault(stage)
	}
	return r, nil
}

func (c *conn) readReply() (mail.Reply, error) {
	return readReply(c.in, c.limits)
}

// handshake turns the connection into TLS.
func (c *conn) handshake(ctx context.Context, cfg *tls.Config, d time.Duration) error {
	tc := tls.Client(c.raw, cfg)
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if err := c.raw.SetDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	if err := tc.HandshakeContext(ctx); err != nil {
		return err
	}
	c.speakOver(tc)
	return nil
}

// start hands the reading of replies to its own goroutine, which ends with the
// connection.
func (c *conn) start() error {
	if err := c.net.SetDeadline(time.Time{}); err != nil {
		return err
	}
	go c.read()
	return nil
}

func (c *conn) read() {
	for {
		if _, err := c.in.Peek(1); err != nil {
			c.fail(lost(err))
			return
		}
		unasked := c.expected.Load() == 0
		if unasked {
			c.strange.Store(true)
			// An error shows in the read that follows.
			_ = c.net.SetReadDeadline(time.Now().Add(lateReply))
		}
		r, err := c.readReply()
		if err != nil {
			c.fail(lost(err))
			return
		}
		if unasked {
			c.fail(&unaskedError{r})
			return
		}
		trailing := c.expected.Add(-1) == 0 && c.in.Buffered() > 0
		if !c.deliver(received{r, trailing}) {
			return
		}
		if end := ending(r, trailing); end != nil {
			c.fail(end)
			return
		}
	}
}

// deliver hands a reply to who waits for it; false when the connection ended and
// nobody does.
func (c *conn) deliver(r received) bool {
	select {
	case c.replies <- r:
		return true
	default:
	}
	select {
	case c.replies <- r:
		return true
	case <-c.dead:
		return false
	}
}

var errTrailing = fmt.Errorf("%w: it sent more replies than there were commands", ErrProtocol)

// unaskedError is a reply that no command asked for. It is a fault of the protocol
// but for 421, with which a server may end a connection. RFC 5321 §3.8.
type unaskedError struct{ reply mail.Reply }

func (e *unaskedError) Error() string {
	return "the server spoke unasked: " + mail.Printable(e.reply.String(), mail.ReplyShown)
}

func (e *unaskedError) Unwrap() error {
	if e.reply.Code == 421 {
		return &ReplyError{Reply: e.reply}
	}
	return ErrProtocol
}

// ready returns why nothing more may be sent. When the server has begun to speak
// unasked, it waits for the end of that, which read bounds.
func (c *conn) ready(stage Stage) error {
	if c.strange.Load() {
		<-c.dead
	}
	if !c.alive() {
		return c.fault(stage)
	}
	return nil
}

// send writes commands that will have n replies.
func (c *conn) send(stage Stage, commands []byte, n int) error {
	if err := c.ready(stage); err != nil {
		return err
	}
	c.expected.Add(int64(n))
	_, err := c.out.Write(commands)
	if err == nil {
		err = c.out.Flush()
	}
	if err != nil {
		c.fail(lost(err))
		return c.fault(stage)
	}
	return nil
}

// wait returns the next reply, which must come whole within d.
func (c *conn) wait(stage Stage, d time.Duration) (mail.Reply, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case r := <-c.replies:
		return c.take(r)
	case <-timer.C:
		c.fail(ErrTimeout)
	case <-c.dead:
	}
	// Replies that arrived before the end still count: a server may answer and
	// close.
	select {
	case r := <-c.replies:
		return c.take(r)
	default:
		return mail.Reply{}, c.fault(stage)
	}
}

// take accepts a reply in its turn. If it ends the connection, it does so before
// it is acted on.
func (c *conn) take(r received) (mail.Reply, error) {
	if end := ending(r.reply, r.trailing); end != nil {
		c.fail(end)
	}
	return r.reply, nil
}

// ending says why a reply is the last one: with 421 the server says that it closes
// (RFC 5321 §3.8); with more behind the last expected one it is out of step.
func ending(r mail.Reply, trailing bool) error {
	switch {
	case r.Code == 421:
		return &ReplyError{Reply: r}
	case trailing:
		return errTrailing
	}
	return nil
}

// nonsense ends the connection because a reply has no meaning at its stage.
func (c *conn) nonsense(stage Stage, r mail.Reply) error {
	c.fail(fmt.Errorf("%w: %s", ErrProtocol, mail.Printable(r.String(), mail.ReplyShown)))
	return c.fault(stage)
}

// readReply reads one reply and tells a server that breaks the grammar from a
// connection that broke.
func readReply(br *bufio.Reader, l Limits) (mail.Reply, error) {
	r, err := wire.ReadReply(br, wire.ReplyLimits{Lines: l.ReplyLines, LineOctets: l.ReplyOctets, TextOctets: l.ReplyText})
	for _, grammar := range []error{
		wire.ErrReply, wire.ErrReplyTooLong, wire.ErrBareCR, wire.ErrBareLF, wire.ErrNUL,
	} {
		if errors.Is(err, grammar) {
			return mail.Reply{}, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
	}
	return r, err
}
