package server

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"time"

	imapwire "sallyport/internal/imap/wire"
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
	stop := context.AfterFunc(ctx, func() { c.interrupt(ending{why: EndShutdown, text: "the server is shutting down"}) })
	defer stop()
	c.cancel = cancel
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
	w := &wire{limits: &o.Limits, now: o.Now, raw: nc, nc: nc, ends: started.Add(o.Limits.StrangerDuration), gone: make(chan struct{})}
	w.in = imapwire.NewReader(w)
	c := &conn{wire: w, o: o}
	if o.Memory != nil {
		c.hold = o.Memory.Hold(false)
	}
	c.info = Conn{
		ID: id.String(), Implicit: o.Implicit, Remote: addrPort(nc.RemoteAddr()), Local: addrPort(nc.LocalAddr()), Started: started,
		End: func(text string) { c.interrupt(ending{why: EndPolicy, text: text}) },
	}
	return c, nil
}

// addrPort returns an address without an IPv4-in-IPv6 wrapping; zero if the transport has no
// such addresses.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// pause waits, but not beyond the end of the connection.
func pause(ctx context.Context, gone <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-gone:
	case <-ctx.Done():
	}
}
