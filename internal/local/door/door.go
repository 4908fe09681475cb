// Package door is the socket of the sendmail command: a UNIX socket that every
// user of this host may open, and no network reaches.
//
// It promises that each connection carries the uid that the kernel named, or is
// closed; that one user cannot take all places; and that a connection says within
// a bounded time and length what it is for. What it then speaks is SMTP, to an
// engine that takes connections from Accept, or the question for the caller's queue.
package door

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"sallyport/internal/local/socket"
	"sallyport/internal/mail"
)

// The first line of a connection says what it is for.
const (
	HelloSMTP  = "SALLYPORT/1 SMTP"  // hand in mail
	HelloQueue = "SALLYPORT/1 QUEUE" // list the caller's messages
	HelloRetry = "SALLYPORT/1 RETRY" // try every message now; root and the owner only
)

// Mode is that of the socket: whoever may enter its folder may connect, and is known
// by his uid.
const Mode = 0o666

// maxHello is longer than any first line.
const maxHello = 32

// readOctets is how much of a connection is read ahead.
const readOctets = 4096

// Limits bounds what local users may hold.
type Limits struct {
	// Connections is how many may be open at once.
	Connections int
	// Reserved is how many of them nobody but root and the server's own user may hold, so
	// that several users together cannot lock them out.
	Reserved int
	// ConnectionsPerUser is how many of them may be one user's.
	ConnectionsPerUser int
	// HelloTime bounds the wait for the first line.
	HelloTime time.Duration
	// AnswerTime bounds the writing of each part of an answer to a reader that does
	// not read.
	AnswerTime time.Duration
}

// DefaultLimits returns the limits of a door that was told nothing else.
func DefaultLimits() Limits {
	return Limits{Connections: 256, Reserved: 32, ConnectionsPerUser: 64, HelloTime: 5 * time.Second, AnswerTime: 30 * time.Second}
}

// Handler answers what is not SMTP. An error is told to the caller.
type Handler struct {
	Queue func(ctx context.Context, uid uint32, w io.Writer) error
	Retry func(ctx context.Context, uid uint32, w io.Writer) error
	// Unserved is told of each connection that ends before it has said what it is for, but of none that said nothing and left. It
	// must be quick; nil: nobody is.
	Unserved func(Unserved)
}

// Unserved is a connection that ended before it had said what it is for.
type Unserved struct {
	UID   uint32
	Known bool       // the kernel says who it is: UID
	Reply mail.Reply // with which it was turned away; zero: without a word
	Why   string     // one of the End constants
}

// Why a connection ended before it had said what it is for.
const (
	EndNobody  = "the kernel does not say whose it is"
	EndCrowded = "too many connections"
	EndTimeout = "its first line did not come in time"
	EndCut     = "it left within its first line"
	EndLong    = "its first line is too long"
	EndForeign = "its first line is none that is known here"
)

// Conn is a connection whose other end the kernel named.
type Conn struct {
	*net.UnixConn
	in   *bufio.Reader
	uid  uint32
	done func()
}

// UID returns the user at the other end.
func (c *Conn) UID() uint32 { return c.uid }

// Read reads what follows the first line.
func (c *Conn) Read(p []byte) (int, error) { return c.in.Read(p) }

// Close frees the connection's place.
func (c *Conn) Close() error {
	defer c.done()
	return c.UnixConn.Close()
}

// Door is the bound socket. It is a net.Listener of the connections that speak SMTP,
// while Run runs.
type Door struct {
	*net.UnixListener
	path    string
	limits  Limits
	handler Handler
	now     func() time.Time

	smtp   chan net.Conn
	closed chan struct{}
	close  sync.Once

	mu    sync.Mutex
	open  int
	users map[uint32]int
}

// Listen binds the socket at path, and makes its folder where it is missing.
func Listen(path string, l Limits, h Handler, now func() time.Time) (*Door, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	ln, err := socket.Listen(path, Mode)
	if err != nil {
		return nil, err
	}
	return &Door{
		UnixListener: ln, path: path, limits: l, handler: h, now: now,
		smtp: make(chan net.Conn), closed: make(chan struct{}), users: map[uint32]int{},
	}, nil
}

// Addr returns where the door is.
func (d *Door) Addr() net.Addr { return &net.UnixAddr{Name: d.path, Net: "unix"} }

// Close stops listening and removes the file. It says net.ErrClosed when that was
// done before.
func (d *Door) Close() error {
	err := net.ErrClosed
	d.close.Do(func() {
		close(d.closed)
		err = errors.Join(d.UnixListener.Close(), os.Remove(d.path))
	})
	return err
}

// Accept waits for the next connection that speaks SMTP.
func (d *Door) Accept() (net.Conn, error) {
	select {
	case c := <-d.smtp:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Run takes connections until ctx is done or the door is closed, and answers those
// that are no SMTP.
func (d *Door) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = d.Close() })
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	for {
		c, err := d.AcceptUnix()
		switch {
		case err == nil:
			running.Go(func() { d.receive(ctx, c) })
		case ctx.Err() != nil:
			_ = d.Close() // waits until the file is removed
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of descriptors, say: it passes, and must not become a busy loop.
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
		}
	}
}

const (
	// acceptPause is the wait after an error of the listener.
	acceptPause = 100 * time.Millisecond
	// refusalWriteTimeout bounds the sending of a refusal into an empty socket.
	refusalWriteTimeout = 100 * time.Millisecond
)

// receive learns who is there and what for.
func (d *Door) receive(ctx context.Context, nc *net.UnixConn) {
	uid, known := socket.PeerUID(nc)
	if !known {
		_ = nc.Close()
		d.unserved(Unserved{Why: EndNobody})
		return
	}
	if !d.enter(uid) {
		r := mail.R(421, "4.7.0", "too many connections; try again later")
		_ = nc.SetWriteDeadline(d.now().Add(refusalWriteTimeout))
		_, _ = io.WriteString(nc, r.String()+"\r\n")
		_ = nc.Close()
		d.unserved(Unserved{UID: uid, Known: true, Reply: r, Why: EndCrowded})
		return
	}
	c := &Conn{UnixConn: nc, in: bufio.NewReaderSize(nc, readOctets), uid: uid, done: sync.OnceFunc(func() { d.leave(uid) })}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) })
	hello, err := c.hello(d.now().Add(d.limits.HelloTime))
	stop()
	if err != nil {
		_ = c.Close()
		if why := endOf(err); why != "" && ctx.Err() == nil {
			d.unserved(Unserved{UID: uid, Known: true, Why: why})
		}
		return
	}
	d.serve(ctx, c, hello)
}

// unserved tells of a connection that nobody else hears of.
func (d *Door) unserved(u Unserved) {
	if d.handler.Unserved != nil {
		d.handler.Unserved(u)
	}
}

// endOf says why no first line came; "": nobody asks, since nothing was said.
func endOf(err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return EndTimeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		return EndCut
	case errors.Is(err, errLong):
		return EndLong
	}
	return ""
}

// serve hands an SMTP connection over, and answers any other.
func (d *Door) serve(ctx context.Context, c *Conn, hello string) {
	switch hello {
	case HelloSMTP:
		select {
		case d.smtp <- c:
			return
		case <-d.closed:
		}
	case HelloQueue:
		d.answer(ctx, c, d.handler.Queue)
	case HelloRetry:
		d.answer(ctx, c, d.handler.Retry)
	default:
		d.unserved(Unserved{UID: c.uid, Known: true, Why: EndForeign})
	}
	_ = c.Close()
}

// errLong is a first line that is longer than any of ours.
var errLong = errors.New("door: the first line is too long")

// hello reads the first line.
func (c *Conn) hello(deadline time.Time) (string, error) {
	if err := c.SetReadDeadline(deadline); err != nil {
		return "", err
	}
	line := make([]byte, 0, maxHello)
	for {
		b, err := c.in.ReadByte()
		switch {
		case errors.Is(err, io.EOF) && len(line) > 0:
			return "", io.ErrUnexpectedEOF
		case err != nil:
			return "", err
		case b == '\n':
			return strings.TrimSuffix(string(line), "\r"), c.SetReadDeadline(time.Time{})
		case len(line) == maxHello:
			return "", errLong
		}
		line = append(line, b)
	}
}

// answer writes the answer: "+" and its text, or "-" and what went wrong.
func (d *Door) answer(ctx context.Context, c *Conn, ask func(context.Context, uint32, io.Writer) error) {
	w := &patient{c: c, d: d}
	if err := ask(ctx, c.uid, w); err != nil {
		// The caller may be gone; then there is nobody to tell.
		_, _ = fmt.Fprintf(w, "-%s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	_, _ = io.WriteString(w, "+\n")
}

// patient writes within the answer time each.
type patient struct {
	c *Conn
	d *Door
}

// Write writes to the caller.
func (p *patient) Write(b []byte) (int, error) {
	if err := p.c.SetWriteDeadline(p.d.now().Add(p.d.limits.AnswerTime)); err != nil {
		return 0, err
	}
	return p.c.UnixConn.Write(b)
}

func (d *Door) enter(uid uint32) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	places := d.limits.Connections
	if uid != 0 && uid != uint32(os.Geteuid()) {
		places -= d.limits.Reserved
	}
	if d.open >= places || d.users[uid] >= d.limits.ConnectionsPerUser {
		return false
	}
	d.open++
	d.users[uid]++
	return true
}

func (d *Door) leave(uid uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if d.users[uid]--; d.users[uid] <= 0 {
		delete(d.users, uid)
	}
}
