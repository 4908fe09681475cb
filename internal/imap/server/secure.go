package server

import (
	"context"
	"crypto/x509"
)

// startTLS answers STARTTLS. RFC 9051 §6.2.1.
func (c *conn) startTLS(ctx context.Context, tag string) result {
	switch {
	case c.tls != nil:
		return bad("TLS is on already")
	case c.o.TLS == nil:
		return bad("TLS is not offered")
	case c.In.Buffered() > 0:
		// CVE-2011-0411: what was sent in clear must never count as sent under TLS.
		return bad("nothing may follow STARTTLS before TLS is on").ending(EndInjection)
	}
	c.Line(tag, " OK begin TLS now")
	if err := c.Flush(); err != nil {
		return result{status: "-", end: EndEOF}
	}
	if err := c.handshake(ctx); err != nil {
		// No channel is left in which a word would be safe.
		return result{status: "-", end: EndTLS}
	}
	// RFC 9051 §6.2.1: what was known of the client is forgotten.
	c.strange, c.bad = 0, 0
	return result{status: "-"}
}

// handshake puts TLS on top of the connection. Nothing is buffered.
func (c *conn) handshake(ctx context.Context) (err error) {
	c.tls, c.offer, err = c.StartTLS(ctx, c.o.TLS, c.o.Now().Add(c.o.Limits.HandshakeTimeout), c.o.Handshake)
	if err != nil {
		c.o.Logger.Debug("TLS handshake failed", "conn", c.info.ID, "remote", c.info.Remote.String(), "err", err)
	}
	return err
}

// channel is what a sign-in comes over.
func (c *conn) channel() Channel {
	if c.tls == nil {
		return Channel{}
	}
	_, err := c.tls.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32) // RFC 9266
	return Channel{TLS: c.tls, Certificate: c.presented(), Offer: c.offer, Plus: err == nil}
}

// presented returns the certificate of this connection's TLS, where the configuration has one.
func (c *conn) presented() *x509.Certificate {
	if len(c.o.TLS.Certificates) != 1 {
		return nil
	}
	return c.o.TLS.Certificates[0].Leaf
}
