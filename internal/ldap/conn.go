package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	wire "github.com/go-ldap/ldap/v3"
)

// bounded is a connection from which no more octets come for one question than were granted.
type bounded struct {
	net.Conn
	left atomic.Int64
}

var errOctets = errors.New("the answer has more octets than the limit allows")

// Read reads within what is left.
func (b *bounded) Read(p []byte) (int, error) {
	left := b.left.Load()
	if left <= 0 {
		return 0, errOctets
	}
	n, err := b.Conn.Read(p[:min(int64(len(p)), left)])
	b.left.Add(int64(-n))
	return n, err
}

// conn is one connection to a server of the directory. One question is asked on it at a time.
type conn struct {
	*wire.Conn
	server Server
	raw    *bounded
	used   bool // a question was answered on it
	since  time.Time
}

// dial connects to a server, in TLS where it is to be, within ctx. Nothing is said before TLS
// stands. RFC 4513 §3.1.
func (d *Directory) dial(ctx context.Context, s Server) (*conn, error) {
	deadline := d.now().Add(d.limits.Timeout)
	if t, ok := ctx.Deadline(); ok && t.Before(deadline) {
		deadline = t
	}
	dialer := net.Dialer{Deadline: deadline}
	tcp, err := dialer.DialContext(ctx, "tcp", s.String())
	if err != nil {
		return nil, failed(s, StepConnect, err)
	}
	c := &conn{server: s, raw: &bounded{Conn: tcp}}
	c.raw.left.Store(d.limits.PageOctets)
	// The zero DefaultTimeout of the library is for dialling alone; each question gets a
	// deadline on the connection itself.
	stop := context.AfterFunc(ctx, func() { _ = tcp.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = tcp.SetDeadline(deadline)
	settings := &tls.Config{RootCAs: d.o.CA, ServerName: s.Host, MinVersion: tls.VersionTLS12}
	switch s.Security {
	case SecurityTLS:
		secure := tls.Client(c.raw, settings)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = tcp.Close()
			return nil, failed(s, StepTLS, err)
		}
		c.Conn = wire.NewConn(secure, true)
		c.Start()
	default:
		c.Conn = wire.NewConn(c.raw, false)
		c.Start()
		if s.Security == SecurityNone {
			break
		}
		if err := c.StartTLS(settings); err != nil {
			c.end()
			return nil, failed(s, StepTLS, err)
		}
	}
	return c, nil
}

// end closes the connection at once. The library's own Close waits for what the other side
// may never take.
func (c *conn) end() {
	_ = c.raw.Conn.Close()
	go func() { _ = c.Close() }()
}

// ask runs one question within its time. An error that the directory did not answer with ends
// the connection, and so does every answer but 0 and, where spare is set, 49: a question that
// was given up may take effect late.
func (d *Directory) ask(ctx context.Context, c *conn, step Step, question func() error) error {
	deadline := d.now().Add(d.limits.Timeout)
	if t, ok := ctx.Deadline(); ok && t.Before(deadline) {
		deadline = t
	}
	c.raw.left.Store(d.limits.PageOctets)
	_ = c.raw.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(time.Unix(1, 0)) })
	err := question()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if last := c.GetLastError(); err != nil && last != nil {
		err = errors.Join(err, last)
	}
	_ = c.raw.SetDeadline(time.Time{})
	c.used = true
	return failed(c.server, step, err)
}
