package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
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
	parts  *metered
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
	over := net.Conn(c.raw)
	if s.Security != SecurityNone {
		if over, err = d.secure(ctx, c.raw, s); err != nil {
			_ = tcp.Close()
			return nil, failed(s, StepTLS, err)
		}
	}
	c.parts = d.metered(over)
	c.Conn = wire.NewConn(c.parts, s.Security != SecurityNone)
	c.Start()
	return c, nil
}

// metered bounds what comes on a connection in the form of LDAP.
func (d *Directory) metered(over net.Conn) *metered {
	m := &metered{Conn: over}
	m.limits = &d.limits
	m.left.Store(d.limits.Parts)
	return m
}

// secure puts TLS on a connection, after asking for it where it does not come first.
func (d *Directory) secure(ctx context.Context, raw *bounded, s Server) (net.Conn, error) {
	if s.Security == SecurityStart {
		if err := startTLS(d.metered(raw)); err != nil {
			return nil, err
		}
	}
	over := tls.Client(raw, &tls.Config{RootCAs: d.o.CA, ServerName: s.Host, MinVersion: tls.VersionTLS12})
	return over, over.HandshakeContext(ctx)
}

// oidStartTLS names the request for TLS. RFC 4511 §4.14.1.
const oidStartTLS = "1.3.6.1.4.1.1466.20037"

// startTLS asks for TLS, as the first question on a connection, and reads its answer to the octet: what comes behind it belongs to
// TLS. RFC 4511 §4.14. The library's own would put TLS on top of the connection that is metered.
func startTLS(c net.Conn) error {
	const id = int64(1)
	request := ber.Encode(ber.ClassApplication, ber.TypeConstructed, wire.ApplicationExtendedRequest, nil, "")
	request.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, oidStartTLS, ""))
	whole := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	whole.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	whole.AppendChild(request)
	if _, err := c.Write(whole.Bytes()); err != nil {
		return err
	}
	answer, err := ber.ReadPacket(c)
	switch {
	case err != nil:
		return err
	case len(answer.Children) < 2 || answer.Children[0].Value != id || answer.Children[1].Tag != wire.ApplicationExtendedResponse:
		return errors.New("what came is no answer to the question for TLS")
	}
	return wire.GetLDAPError(answer)
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
	c.parts.left.Store(d.limits.Parts)
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
