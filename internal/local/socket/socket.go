// Package socket has what the server's UNIX sockets have in common: names that fit into a socket
// address however deep their folder is, and the kernel's word for who is at the other end, on both
// sides: a server knows who calls, and a caller knows that it gives its mail or a password to the
// server.
package socket

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
	"time"
)

// oPath is O_PATH of Linux, which package syscall does not name.
const oPath = 0x200000

// ShortPath returns a name of path that fits into a socket address, which holds
// 107 octets, however deep the folder is. It is good until done is called.
func ShortPath(path string) (short string, done func(), err error) {
	// Whoever may pass through the folder need not be able to list it.
	dir, err := os.OpenFile(filepath.Dir(path), oPath|syscall.O_DIRECTORY, 0)
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
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: short, Net: "unix"})
	switch {
	case err == nil:
		_ = c.Close()
		fallthrough
	case errors.Is(err, syscall.EAGAIN): // so many wait there that no more may
		return fmt.Errorf("%s is in the way: another server listens there", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return fmt.Errorf("%s is in the way: %w", path, err)
}

const (
	// crowdedTime is how long Dial waits for a place where too many wait to be accepted.
	crowdedTime = 5 * time.Second
	// crowdedPause parts the tries.
	crowdedPause = 50 * time.Millisecond
)

// Dial connects to the socket at path. Nothing may be said there unless whoever listens
// is root, the caller's own user, or the one whom the place of the socket belongs to;
// otherwise the error is ErrUntrusted. Where the socket is crowded, it waits a little.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	short, done, err := ShortPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	var c net.Conn
	for end := time.Now().Add(crowdedTime); ; {
		if c, err = d.DialContext(ctx, "unix", short); !errors.Is(err, syscall.EAGAIN) || time.Now().After(end) {
			break
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(crowdedPause):
		}
	}
	if err != nil {
		return nil, err
	}
	ours, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(ErrUntrusted, c.Close())
	}
	if err := trust(ours, path); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return ours, nil
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
