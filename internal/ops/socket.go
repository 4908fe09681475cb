package ops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"sallyport/internal/unixsock"
)

const (
	maxConnections = 16
	headerTime     = 5 * time.Second
	requestTime    = 30 * time.Second
	idleTime       = time.Minute
	finishTime     = 5 * time.Second
	maxHeader      = 16 << 10
)

// Listen binds the operator's socket at path, readable and writable by its owner
// alone, replacing one that an earlier process left behind. Call it only while
// holding the data folder, since nothing else tells a dead socket from a live one.
func Listen(path string) (net.Listener, error) {
	short, done, err := unixsock.ShortPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s is in the way: it is no socket", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("operator's socket %s: %w", path, err)
	}
	// The short path is gone when the listener closes.
	ln.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return &socket{UnixListener: ln, path: path, places: make(chan struct{}, maxConnections), closed: make(chan struct{})}, nil
}

// socket removes its file when it is closed.
type socket struct {
	*net.UnixListener
	path   string
	places chan struct{}
	close  sync.Once
	closed chan struct{}
}

// Close stops listening and removes the file.
func (s *socket) Close() error {
	err := net.ErrClosed
	s.close.Do(func() {
		close(s.closed)
		err = errors.Join(s.UnixListener.Close(), os.Remove(s.path))
	})
	return err
}

// Serve serves op on ln until ctx is done, then lets actions under way finish for
// a short time.
func Serve(ctx context.Context, ln net.Listener, op *Operator, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           Handler(op, uint32(os.Geteuid())),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return WithCaller(ctx, callerAt(c))
		},
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	stopped := make(chan error, 1)
	release := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
		defer cancel()
		stopped <- errors.Join(srv.Shutdown(grace), srv.Close())
	})
	err := srv.Serve(ln)
	if release() { // ctx is not done: the listener failed
		return err
	}
	if err := <-stopped; err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// conn is a connection whose other end the kernel named.
type conn struct {
	*net.UnixConn
	caller Caller
	done   func()
}

// Close frees the connection's place.
func (c *conn) Close() error {
	defer c.done()
	return c.UnixConn.Close()
}

// Accept waits until fewer than maxConnections are open, and for one more.
func (s *socket) Accept() (net.Conn, error) {
	select {
	case s.places <- struct{}{}:
	case <-s.closed:
		return nil, net.ErrClosed
	}
	free := sync.OnceFunc(func() { <-s.places })
	c, err := s.AcceptUnix()
	if err != nil {
		free()
		return nil, err
	}
	return &conn{c, peer(c), free}, nil
}

// peer asks the kernel who is at the other end; without an answer it is nobody.
func peer(c *net.UnixConn) Caller {
	uid, known := unixsock.PeerUID(c)
	if !known {
		return Caller{}
	}
	return Caller{UID: uid, Known: true}
}

// callerAt returns who is at the other end of a connection of ours.
func callerAt(c net.Conn) Caller {
	if ours, ok := c.(*conn); ok {
		return ours.caller
	}
	return Caller{}
}
