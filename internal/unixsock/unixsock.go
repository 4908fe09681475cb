// Package unixsock is what the local sockets of a server have in common: names that
// fit into a socket address however deep their folder is, and the kernel's word for
// who is at the other end.
package unixsock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// ShortPath returns a name of path that fits into a socket address, which holds
// 107 octets, however deep the folder is. It is good until done is called.
func ShortPath(path string) (short string, done func(), err error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), filepath.Base(path)), func() { dir.Close() }, nil
}

// Listen binds a socket at path with a mode, replacing a dead one. It fails when
// something answers there, or when what stands there is no socket. The file stays
// when the listener closes; remove it then.
func Listen(path string, mode fs.FileMode) (*net.UnixListener, error) {
	short, done, err := ShortPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := clearPath(path, short); err != nil {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	// The short path is gone when the listener closes.
	ln.SetUnlinkOnClose(false)
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// clearPath removes a socket that nobody listens at.
func clearPath(path, short string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is in the way: it is no socket", path)
	}
	if c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: short, Net: "unix"}); err == nil {
		_ = c.Close()
		return fmt.Errorf("%s is in the way: another server listens there", path)
	}
	return os.Remove(path)
}

// Dial connects to the socket at path.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	short, done, err := ShortPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", short)
}

// PeerUID asks the kernel whose process opened the other end; ok is false without an
// answer.
func PeerUID(c *net.UnixConn) (uid uint32, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			uid, ok = cred.Uid, true
		}
	})
	return uid, ok && err == nil
}
