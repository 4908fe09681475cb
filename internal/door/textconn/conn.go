// Package textconn is the connection of a line-based protocol, IMAP or POP3: it gathers responses
// and sends them when no pipelined input is left, bounds each wait, says why reading ended, and
// ends a session that must end.
//
// It knows no command and no policy. One goroutine reads and answers; Interrupt, Ended and Ending
// may be called by any.
package textconn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Why no more octets come, besides what the transport says.
var (
	ErrEnding   = errors.New("the session must end")
	ErrTimeout  = errors.New("timed out")
	ErrDuration = errors.New("the sign-in has taken too long")
)

// Keep is the largest buffer that an idle connection keeps.
const Keep = 512

// Ending is why a session must end, and what the client is told.
type Ending struct{ Why, Text string }

// Options are what a Conn is made with; every field is needed.
type Options struct {
	// Now is the clock.
	Now func() time.Time
	// SignInBy is when a sign-in must have come, whatever is waited for.
	SignInBy time.Time
	// WriteTimeout bounds the sending of OutOctets to a client that does not read.
	WriteTimeout time.Duration
	// OutOctets is how much is gathered before it is sent.
	OutOctets int
	// EndGrace is how long a command in progress may go on when the session must end.
	EndGrace time.Duration
	// LingerTimeout and LingerOctets bound what is read and thrown away by Linger.
	LingerTimeout time.Duration
	LingerOctets  int64
}

// Conn is the input and output of one connection.
type Conn struct {
	// In takes lines and literals from the client. Answers are sent before it waits.
	In *Reader
	// Out is what was gathered of answers and not sent yet. Whoever answers appends to it; Line, Write
	// and Spill send it when it is much.
	Out []byte

	o       Options
	raw, nc net.Conn // as accepted; raw, or what was put on top of it
	cancel  func()   // ends what is done for the connection

	outErr error // of the first write that failed; nothing is written after it

	deadline time.Time     // of what is being waited for
	each     time.Duration // unless 0: the deadline of each read begins anew
	ends     time.Time     // of the sign-in; zero: there is no such end any more
	idling   bool          // another goroutine writes

	gone chan struct{} // closed when the session must end
	mu   sync.Mutex
	end  Ending
}

// New returns the Conn of a connection that was accepted.
func New(nc net.Conn, o Options) *Conn {
	c := &Conn{o: o, raw: nc, nc: nc, ends: o.SignInBy, gone: make(chan struct{}), cancel: func() {}}
	c.In = NewReader(c)
	return c
}

// Cancelled says what ends all that is done for the connection, when its grace is over.
func (c *Conn) Cancelled(cancel func()) { c.cancel = cancel }

// WaitUntil bounds the reads to come by one moment, all together.
func (c *Conn) WaitUntil(deadline time.Time) { c.deadline, c.each = deadline, 0 }

// WaitEach bounds each of the reads to come by itself.
func (c *Conn) WaitEach(d time.Duration) { c.each = d }

// SignedIn says that a sign-in has come in time.
func (c *Conn) SignedIn() { c.ends = time.Time{} }

// Idle says whether another goroutine writes while one waits for the client: then a read sends nothing.
func (c *Conn) Idle(on bool) { c.idling = on }

// Over puts something on top of the connection as it is now; what was read before must be used up.
func (c *Conn) Over(put func(net.Conn) net.Conn) { c.nc = put(c.nc) }

// StartTLS begins TLS on the connection as it was accepted, within a time. shake makes the
// handshake, and says what the client offered as a fingerprint; nil: there is nothing to tell of it.
func (c *Conn) StartTLS(ctx context.Context, cfg *tls.Config, by time.Time, shake Handshake) (*tls.ConnectionState, string, error) {
	c.WaitUntil(by)
	if err := c.arm(c.o.Now()); err != nil {
		return nil, "", err
	}
	if err := c.raw.SetWriteDeadline(by); err != nil {
		return nil, "", err
	}
	if shake == nil {
		shake = plainHandshake
	}
	tc, offer, err := shake(ctx, c.raw, cfg)
	if err != nil {
		return nil, "", err
	}
	state := tc.ConnectionState()
	c.nc = tc
	c.In.Reset(c)
	return &state, offer, nil
}

// Handshake makes the handshake of TLS as a server.
type Handshake = func(ctx context.Context, raw net.Conn, cfg *tls.Config) (*tls.Conn, string, error)

func plainHandshake(ctx context.Context, raw net.Conn, cfg *tls.Config) (*tls.Conn, string, error) {
	tc := tls.Server(raw, cfg)
	return tc, "", tc.HandshakeContext(ctx)
}

// Lost reports whether an answer could not be written, by its error.
func (c *Conn) Lost() error { return c.outErr }

// Drop closes the transport at once, so that whoever waits for the client hears of it.
func (c *Conn) Drop() { _ = c.raw.Close() }

// Read fills the Reader. Answers are sent before it waits.
func (c *Conn) Read(p []byte) (int, error) {
	if !c.idling {
		if err := c.Flush(); err != nil {
			return 0, err
		}
	}
	if err := c.arm(c.o.Now()); err != nil {
		return 0, err
	}
	n, err := c.nc.Read(p)
	if err != nil {
		return n, c.cause(err)
	}
	return n, nil
}

// arm sets the deadline of the next read.
func (c *Conn) arm(now time.Time) error {
	deadline := c.deadline
	if c.each > 0 {
		deadline = now.Add(c.each)
	}
	if !c.ends.IsZero() && deadline.After(c.ends) {
		deadline = c.ends
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.Why != "" {
		return ErrEnding
	}
	return c.raw.SetReadDeadline(deadline)
}

// cause tells the end of a session and a timeout from other ends.
func (c *Conn) cause(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	switch {
	case c.Ended():
		return ErrEnding
	case !c.ends.IsZero() && !c.o.Now().Before(c.ends):
		return ErrDuration
	}
	return ErrTimeout
}

// Ended reports whether the session must end.
func (c *Conn) Ended() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// Ending returns why the session must end.
func (c *Conn) Ending() Ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

// Interrupt ends the wait for a command, now and from now on, and everything a moment later.
func (c *Conn) Interrupt(e Ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.Why != "" {
		return
	}
	c.end = e
	close(c.gone)
	// A deadline that can't be set is one of a closed connection.
	_ = c.raw.SetReadDeadline(time.Unix(1, 0))
	time.AfterFunc(c.o.EndGrace, func() {
		c.cancel()
		_ = c.raw.SetWriteDeadline(time.Unix(1, 0))
		_ = c.raw.Close()
	})
}

// Line gathers a line of an answer.
func (c *Conn) Line(parts ...string) {
	for _, p := range parts {
		c.Out = append(c.Out, p...)
	}
	c.Out = append(c.Out, "\r\n"...)
	c.Spill()
}

// Write gathers octets of an answer.
func (c *Conn) Write(p []byte) {
	c.Out = append(c.Out, p...)
	c.Spill()
}

// Spill sends what was gathered when it is much. An error waits for the next read.
func (c *Conn) Spill() {
	if len(c.Out) >= c.o.OutOctets {
		_ = c.Flush()
	}
}

// Flush sends what was gathered. Its first error is final.
func (c *Conn) Flush() error {
	if len(c.Out) == 0 || c.outErr != nil {
		c.Out = c.Out[:0]
		return c.outErr
	}
	if c.outErr = c.raw.SetWriteDeadline(c.o.Now().Add(c.o.WriteTimeout)); c.outErr != nil {
		return c.outErr
	}
	if _, err := c.nc.Write(c.Out); err != nil {
		c.outErr = c.cause(err)
	}
	c.Out = c.Out[:0]
	return c.outErr
}

// Rest lets the buffers of an idle connection go.
func (c *Conn) Rest() {
	if len(c.Out) == 0 && cap(c.Out) > Keep {
		c.Out = nil
	}
}

// Linger reads on for a short while after the last answer, so that octets on their way
// don't make the transport throw it away, and closes.
func (c *Conn) Linger() {
	type halfCloser interface{ CloseWrite() error }
	if half, ok := c.nc.(halfCloser); !ok || half.CloseWrite() != nil {
		c.Close()
		return
	}
	if half, ok := c.raw.(halfCloser); ok && c.raw != c.nc && half.CloseWrite() != nil {
		c.Close()
		return
	}
	buf := make([]byte, Keep)
	if c.raw.SetReadDeadline(c.o.Now().Add(c.o.LingerTimeout)) == nil {
		for left := c.o.LingerOctets; left > 0; {
			n, err := c.raw.Read(buf)
			left -= int64(n)
			if err != nil {
				break
			}
		}
	}
	c.Close()
}

// Close closes the connection. What the transport says to that changes nothing.
func (c *Conn) Close() {
	_ = c.nc.Close()
	_ = c.raw.Close()
}

// Pause waits, but not beyond the end of the connection.
func (c *Conn) Pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.gone:
	case <-ctx.Done():
	}
}

// AddrPort returns an address without an IPv4-in-IPv6 wrapping; zero if the transport has no
// such addresses.
func AddrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
