package server

import (
	"context"
	"crypto/rand"
	"net"

	"sallyport/internal/door/textconn"
	"sallyport/internal/mail"
)

// Serve speaks with one client until one of the two ends it, and closes the connection. When
// ctx is done, the client is told BYE. Options that are unfit close the connection at
// once, with an error in the log if there is one.
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
	if o.Memory != nil {
		c.hold = o.Memory.Hold(false)
	}
	c.info = Conn{
		ID: id.String(), Implicit: o.Implicit, Remote: textconn.AddrPort(nc.RemoteAddr()),
		Local: textconn.AddrPort(nc.LocalAddr()), Started: started,
		End: func(text string) { c.Interrupt(textconn.Ending{Why: EndPolicy, Text: text}) },
	}
	return c, nil
}
