package server

import (
	"context"
	"crypto/x509"
	"errors"

	"sallyport/internal/door"
	"sallyport/internal/mail"
)

// startTLSCommand answers STARTTLS. RFC 3207 §4.
func (c *conn) startTLSCommand(ctx context.Context) result {
	switch {
	case c.srv.cfg.TLS == nil:
		return refuse(502, "5.5.1", "TLS is not offered")
	case c.tls != nil:
		return refuse(503, "5.5.1", "TLS is on already")
	case !c.state.hello:
		return refuse(503, "5.5.1", "send EHLO first")
	case c.in.Buffered() > 0:
		// CVE-2011-0411: what was sent in clear must never count as sent under TLS.
		return refuse(554, "5.5.1", "nothing may follow STARTTLS before TLS is on").ending(EndInjection)
	}
	h := c.beginHandshake()
	defer h.End()
	// RFC 3207 §4.2: all knowledge of the client is discarded.
	c.drop(ctx)
	c.state = state{}
	c.send(mail.R(220, "2.0.0", "ready to start TLS"))
	if err := c.startTLS(c.srv.cfg.TLS, h); err != nil {
		return c.handshakeFailed(err)
	}
	return result{silent: true}
}

// implicitTLS begins a connection under TLS. RFC 8314 §3.3.
func (c *conn) implicitTLS() (end string) {
	h := c.beginHandshake()
	defer h.End()
	if err := c.startTLS(c.srv.cfg.TLS, h); err != nil {
		res := c.handshakeFailed(err)
		c.srv.unserved(Unserved{Kind: c.info.Kind, Conn: c.info.ID, Remote: c.info.Remote.Addr(), Why: c.why(res.end)})
		return res.end
	}
	return ""
}

// beginHandshake takes a place in the lane of the client's address.
func (c *conn) beginHandshake() *door.Handshake {
	return c.srv.admission.Handshake(&c.limits.Limits, c.info.Remote.Addr(), c.now(), c.abandon)
}

// handshakeFailed ends the connection without a word: there is no channel left in
// which one would be safe.
func (c *conn) handshakeFailed(err error) result {
	c.srv.cfg.Logger.Debug("TLS handshake failed", "conn", c.info.ID, "remote", c.info.Remote.String(), "err", err)
	c.outErr, c.insecure = err, c.handshakeCause(err)
	return result{silent: true, end: EndTLS}
}

// handshakeCause says why a handshake failed: one of door's causes.
func (c *conn) handshakeCause(err error) string {
	switch {
	case errors.Is(err, errShutdown) && c.givesWay():
		return door.CauseRoom
	case errors.Is(err, errTimeout), errors.Is(err, errDuration):
		return door.CauseTimeout
	case errors.Is(err, errShutdown):
		return door.CauseShutdown
	}
	return door.HandshakeCause(err)
}

// why says what Session.Close is told of an end: with the cause, where it is that TLS failed.
func (c *conn) why(end string) string {
	if end == EndTLS && c.insecure != "" {
		return end + ": " + c.insecure
	}
	return end
}

// presented returns the certificate of this connection's TLS: each configuration
// has one, and a connection keeps its configuration.
func (c *conn) presented() *x509.Certificate {
	if c.tls == nil {
		return nil
	}
	if ours := door.Presented(c.srv.cfg.TLS); ours != nil {
		return ours.Leaf
	}
	return nil
}
