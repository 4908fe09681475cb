package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sallyport/internal/kit/httpd"
	localsocket "sallyport/internal/local/socket"
	"sallyport/internal/operate/call"
)

// Limits bounds what callers of the operator's socket cost.
type Limits struct {
	PerUser      int           // connections at once: of root, of the server's own user and of all others together, each apart, so that nobody can take another's
	Partner      int           // sign-ins at once that a server beside us asks about
	Header       time.Duration // for the header of a request
	Request      time.Duration // for a request with its body
	Idle         time.Duration // between two requests of a connection
	Finish       time.Duration // for actions under way when the server stops
	HeaderOctets int           // of a request
}

// DefaultLimits returns the bounds of the operator's socket.
func DefaultLimits() Limits {
	return Limits{
		PerUser: 16, Partner: 256, Header: 5 * time.Second, Request: 30 * time.Second, Idle: time.Minute,
		Finish: 5 * time.Second, HeaderOctets: 16 << 10,
	}
}

// httpd are the bounds of the web server behind the socket; answers stream, and the
// socket counts its connections.
func (l Limits) httpd() httpd.Limits {
	return httpd.Limits{Header: l.Header, Read: l.Request, Idle: l.Idle, Finish: l.Finish, HeaderOctets: l.HeaderOctets}
}

// Listen binds the operator's socket at path, readable and writable by its owner
// alone, replacing one that an earlier process left behind. Call it only while
// holding the data folder, since nothing else tells a dead socket from a live one.
func Listen(path string) (net.Listener, error) {
	return listen(path, DefaultLimits().PerUser, func() error { return os.Chmod(path, 0o600) }, call.MayAct)
}

// GroupMode is that of a socket for a group: of the group alone, which the kernel holds
// everybody to who connects.
const GroupMode = 0o660

// ListenGroup binds a socket for a group of this host, each of whom has perUser connections and
// may ask, and makes its folder where it is missing. It replaces one that an earlier process
// left behind; call it only while holding the data folder. Only root, or a member of the group,
// can give it to the group.
func ListenGroup(path string, group, perUser int) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return listen(path, perUser, func() error {
		if err := os.Chown(path, -1, group); err != nil {
			return fmt.Errorf("%w: the server's user must belong to the group, to give it a socket", err)
		}
		return os.Chmod(path, GroupMode)
	}, call.MayAsk)
}

func listen(path string, perUser int, protect func() error, may call.Admission) (net.Listener, error) {
	short, done, err := localsocket.ShortPath(path)
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
	if err := protect(); err != nil {
		return nil, errors.Join(err, ln.Close(), os.Remove(path))
	}
	return &socket{UnixListener: ln, path: path, owner: uint32(os.Geteuid()), may: may, perUser: perUser, seats: map[seat][]*conn{}}, nil
}

// socket knows whose its connections are, and removes its file when it is closed.
type socket struct {
	*net.UnixListener
	path    string
	owner   uint32
	may     call.Admission
	perUser int
	close   sync.Once

	mu    sync.Mutex
	seats map[seat][]*conn // the open connections, those that changed last at the end
}

// Close stops listening and removes the file.
func (s *socket) Close() error {
	err := net.ErrClosed
	s.close.Do(func() { err = errors.Join(s.UnixListener.Close(), os.Remove(s.path)) })
	return err
}

// Serve serves requests on ln, which is one of ours, until ctx is done, then lets actions under way
// finish for a short time.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	return httpd.Serve(ctx, httpd.Options{
		Limits: DefaultLimits().httpd(), Handler: h, Streams: true, Seats: true, Context: told,
		State: func(c net.Conn, state http.ConnState) {
			if ours, ok := c.(*conn); ok {
				ours.socket.turned(ours, state == http.StateNew || state == http.StateIdle)
			}
		},
		Logger: log, Level: slog.LevelWarn,
	}, ln)
}

// conn is a connection whose other end the kernel named.
type conn struct {
	*net.UnixConn
	socket  *socket
	caller  call.Caller
	seat    seat
	refused *call.Error // what every request is answered with; nil: they are carried out
	idle    bool        // it asks for nothing now; guarded by socket.mu
}

// seat is whose places a connection takes.
type seat struct {
	uid     uint32
	outside bool // of those who are only told why not, or not now
}

// Close frees the connection's place.
func (c *conn) Close() error {
	c.socket.leave(c)
	return c.UnixConn.Close()
}

// Accept never lets a connection wait for another. Whose it is the kernel says before
// anything is read: root and the server's own user have places of their own each, and all
// others share some in which they are told to go away. Where a user has no place left,
// the user's connection that has been idle for longest makes room; when all are at work, the new
// one is told to come back.
func (s *socket) Accept() (net.Conn, error) {
	nc, err := s.AcceptUnix()
	if err != nil {
		return nil, err
	}
	c := &conn{UnixConn: nc, socket: s, caller: peer(nc), idle: true}
	c.seat.uid, c.refused = c.caller.UID, s.may(c.caller, s.owner)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.refused == nil && !s.room(c.seat, func(c *conn) bool { return c.idle }) {
		c.refused = call.Unavailable(fmt.Sprintf("%d commands of this user are at work already; try again when one has ended", s.perUser))
	}
	if c.refused != nil {
		c.seat = seat{outside: true}
		s.room(c.seat, func(*conn) bool { return true })
	}
	s.seats[c.seat] = append(s.seats[c.seat], c)
	return c, nil
}

// room makes room for one more, and closes for it the first that may be closed.
func (s *socket) room(at seat, may func(*conn) bool) bool {
	held := s.seats[at]
	if len(held) < s.perUser {
		return true
	}
	i := slices.IndexFunc(held, may)
	if i < 0 {
		return false
	}
	_ = held[i].UnixConn.Close()
	s.seats[at] = slices.Delete(held, i, i+1)
	return true
}

// turned notes that a connection begins or ends a request. One that has just ended a
// request has been idle for the shortest time.
func (s *socket) turned(c *conn, idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.seats[c.seat]
	if at := slices.Index(held, c); at >= 0 && c.idle != idle {
		c.idle = idle
		s.seats[c.seat] = append(slices.Delete(held, at, at+1), c)
	}
}

func (s *socket) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.seats[c.seat]
	if at := slices.Index(held, c); at >= 0 {
		s.seats[c.seat] = slices.Delete(held, at, at+1)
	}
}

// peer asks the kernel who is at the other end; without an answer it is nobody.
func peer(c *net.UnixConn) call.Caller {
	uid, known := localsocket.PeerUID(c)
	if !known {
		return call.Caller{}
	}
	return call.Caller{UID: uid, Known: true}
}

// told returns a context that says who is at the other end of a connection of ours, or
// the refusal.
func told(ctx context.Context, c net.Conn) context.Context {
	ours, ok := c.(*conn)
	switch {
	case !ok:
		return call.WithCaller(ctx, call.Caller{})
	case ours.refused != nil:
		return call.WithRefusal(ctx, ours.refused)
	}
	return call.WithCaller(ctx, ours.caller)
}
