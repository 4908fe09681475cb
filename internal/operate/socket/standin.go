package socket

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"sallyport/internal/kit/httpd"
	"sallyport/internal/operate/call"
)

// standInTime bounds what a stand-in waits for: it lives as long as the one command that
// started it, which may ask a person something.
const standInTime = 24 * time.Hour

// errNoMore means that a command asked more at once than a stand-in answers.
var errNoMore = errors.New("the stand-in has no more connections")

// ServeConns serves requests at connections that were made beforehand, for the one command that
// has their other ends, until ctx ends. Whoever acts is the one who made them, as the kernel
// says.
func ServeConns(ctx context.Context, all []*net.UnixConn, h http.Handler, log *slog.Logger) error {
	limits := DefaultLimits()
	limits.Header, limits.Request, limits.Idle = standInTime, standInTime, standInTime
	made := &madeConns{conns: make(chan net.Conn, len(all)), closed: make(chan struct{})}
	for _, c := range all {
		made.conns <- c
	}
	return httpd.Serve(ctx, httpd.Options{
		Limits: limits.httpd(), Handler: h, Streams: true, Seats: true, Logger: log, Level: slog.LevelDebug,
		Context: func(ctx context.Context, c net.Conn) context.Context {
			ours, ok := c.(*net.UnixConn)
			if !ok {
				return call.WithCaller(ctx, call.Caller{})
			}
			return call.WithCaller(ctx, peer(ours))
		},
	}, made)
}

// Over returns a Client whose connections were made beforehand; each serves one request at
// a time.
func Over(all []*net.UnixConn) *call.Client {
	free := make(chan net.Conn, len(all))
	for _, c := range all {
		free <- c
	}
	transport := &http.Transport{DisableCompression: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		select {
		case c := <-free:
			return c, nil
		default:
			return nil, errNoMore
		}
	}}
	return call.NewClient(transport)
}

// madeConns is a listener of connections that there are already.
type madeConns struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Accept returns the next, and waits when there are no more.
func (m *madeConns) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (m *madeConns) Close() error {
	err := net.ErrClosed
	m.once.Do(func() { close(m.closed); err = nil })
	return err
}

// Addr is that of no place.
func (m *madeConns) Addr() net.Addr { return &net.UnixAddr{Name: "@stand-in", Net: "unix"} }
