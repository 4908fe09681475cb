// Package httpd serves HTTP at listeners that are bound already, within bounds, and stops cleanly.
// Every web server of ours is this one.
//
// It promises that no client costs more than the bounds say, that those of one network keep nobody
// else waiting, that a request under way may finish for a short time when the server stops, and
// that HTTP/1.1 alone is spoken.
package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Limits bounds what clients cost.
type Limits struct {
	Header       time.Duration // for the header of a request
	Read         time.Duration // for a request with its body
	Write        time.Duration // for the answer
	Idle         time.Duration // between two requests of a connection
	Finish       time.Duration // for what is under way when the server stops
	HeaderOctets int           // of a request
	Connections  int           // at once at one address; more wait, but for those of a network that has a quarter of them: they are closed
}

// DefaultLimits returns the bounds for strangers who ask for little.
func DefaultLimits() Limits {
	return Limits{
		Header: 10 * time.Second, Read: 10 * time.Second, Write: 10 * time.Second, Idle: 10 * time.Second, Finish: time.Second,
		HeaderOctets: 8 << 10, Connections: 256,
	}
}

// Options say what is served; Limits, Handler and Logger are required.
type Options struct {
	Limits  Limits
	Handler http.Handler
	// TLS is asked at each connection, under which HTTP is then spoken; nil: in the clear.
	TLS *tls.Config
	// Once closes each connection after one answer.
	Once bool
	// Streams: the handler bounds the time of its answers itself, since they are as long
	// as what they tell; Limits.Write is 0.
	Streams bool
	// Seats: the listener bounds its connections itself; Limits.Connections is 0.
	Seats bool
	// Context adds to the context of a connection's requests, and State is told what
	// becomes of it, both as in net/http; they may be nil.
	Context func(context.Context, net.Conn) context.Context
	State   func(net.Conn, http.ConnState)
	Logger  *slog.Logger
	// Level is that of what goes wrong with a connection.
	Level slog.Level
}

var errOptions = errors.New("httpd: listeners, handler, logger and every bound are required")

func (o Options) whole() bool {
	l := o.Limits
	return o.Handler != nil && o.Logger != nil && min(l.Header, l.Read, l.Idle, l.Finish) > 0 && l.HeaderOctets > 0 &&
		(l.Write > 0) != o.Streams && (l.Connections > 0) != o.Seats
}

// Serve serves at every listener until ctx ends. Then it takes no more requests, and lets
// those under way finish; what is not finished in time is cut. A listener that ends by
// itself ends all, and is the error. All listeners are closed when Serve returns.
func Serve(ctx context.Context, o Options, at ...net.Listener) error {
	if !o.whole() || len(at) == 0 {
		errs := []error{errOptions}
		for _, ln := range at {
			errs = append(errs, ln.Close())
		}
		return errors.Join(errs...)
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(at))
	var running sync.WaitGroup
	for i, ln := range at {
		running.Go(func() {
			defer stop()
			if err := o.serve(serving, ln); err != nil {
				errs[i] = fmt.Errorf("%s: %w", ln.Addr(), err)
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

func (o Options) serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler: o.Handler, ReadHeaderTimeout: o.Limits.Header, ReadTimeout: o.Limits.Read,
		WriteTimeout: o.Limits.Write, IdleTimeout: o.Limits.Idle,
		MaxHeaderBytes: o.Limits.HeaderOctets, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), o.Level),
		ConnContext: o.Context, ConnState: o.State,
		// What is under way may finish: its context outlives the server's.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		// Empty, not nil: HTTP/1.1 alone. A connection that agrees to another protocol is
		// closed after the handshake.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	srv.SetKeepAlivesEnabled(!o.Once)
	if !o.Seats {
		ln = netutil.LimitListener(share(ln, o.Limits.Connections), o.Limits.Connections)
	}
	if o.TLS != nil {
		ln = tls.NewListener(ln, o.TLS)
	}
	stopped := make(chan error, 1)
	release := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Limits.Finish)
		defer cancel()
		stopped <- errors.Join(srv.Shutdown(grace), srv.Close())
	})
	err := srv.Serve(ln)
	if release() { // ctx is not done: the listener failed
		return errors.Join(err, ignoreClosed(srv.Close()))
	}
	return ignoreClosed(<-stopped)
}

// ignoreClosed drops what stopping says of what had ended already, or was cut.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
