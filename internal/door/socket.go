package door

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket is the socket beneath a connection, at which somebody waits who has nothing to read into. The
// zero Socket is none.
type Socket struct{ raw syscall.RawConn }

// SocketOf returns the socket of a connection as it was accepted; the zero Socket, for one that has none.
func SocketOf(nc net.Conn) Socket {
	s, ok := nc.(syscall.Conn)
	if !ok {
		return Socket{}
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return Socket{}
	}
	return Socket{raw}
}

// Exists reports whether there is a socket.
func (s Socket) Exists() bool { return s.raw != nil }

// Await returns when there is something to read, the end of it too, or no more time to wait for it:
// the next read tells which. What lies above the socket must have nothing left of what was read
// from it. The frames from here on are kept small.
func (s Socket) Await() { _ = s.raw.Read(readable) }

// readable reports whether a socket has something to read, or nothing more to wait for. Whoever
// waits asks before he does, since the poller tells only of what has come since.
func readable(fd uintptr) bool {
	for {
		asked := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}
		n, err := unix.Poll(asked[:], 0)
		if err != unix.EINTR {
			return n > 0 || err != nil
		}
	}
}
