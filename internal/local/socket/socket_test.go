package socket_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sallyport/internal/local/socket"
	"sallyport/internal/local/socket/sockettest"
)

const (
	server   = 4001
	stranger = 4002
	caller   = 4003
)

// folder makes a folder of a user.
func folder(t *testing.T, mode os.FileMode, uid int, path ...string) string {
	t.Helper()
	at := filepath.Join(path...)
	if err := errors.Join(os.Mkdir(at, 0o700), os.Chmod(at, mode), os.Chown(at, uid, uid)); err != nil {
		t.Fatal(err)
	}
	return at
}

// listen makes a user listen at a path.
func listen(t *testing.T, uid uint32, path string) {
	t.Helper()
	sockettest.As(t, uid, func() {
		ln, err := socket.Listen(path, 0o666)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				_ = c.Close()
			}
		}()
	})
}

// What is said at a socket is said to root, to oneself, or to the user whom the place
// belongs to, and never to one who could have put his own socket there.
func TestDialWantsTheServer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	for _, row := range []struct {
		name    string
		uid     uint32
		prepare func(root string) (at string)
		wrong   string // "": it may be spoken to
	}{
		{"the server's own folder", server, func(root string) string { return folder(t, 0o755, server, root, "run") }, ""},
		{"a folder below its own", server, func(root string) string {
			return folder(t, 0o711, server, folder(t, 0o755, server, root, "a"), "b")
		}, ""},
		{"a stranger in the server's folder", stranger, func(root string) string { return folder(t, 0o777, server, root, "run") }, "belongs to another user"},
		{"a folder that everybody writes", server, func(root string) string { return folder(t, 0o777, server, root, "run") }, "may write into the folder"},
		{"a folder that a group writes", server, func(root string) string { return folder(t, 0o775, server, root, "run") }, "may write into the folder"},
		{"as it was made first in a folder like /tmp", stranger, func(root string) string {
			return folder(t, 0o755, stranger, folder(t, 0o777|os.ModeSticky, 0, root, "tmp"), "run")
		}, "may write into the folder"},
		{"in a folder like /tmp itself", stranger, func(root string) string { return folder(t, 0o777|os.ModeSticky, 0, root, "tmp") }, "may write into the folder"},
		{"below what is root's in a folder like /tmp", server, func(root string) string {
			return folder(t, 0o755, server, folder(t, 0o755, 0, folder(t, 0o777|os.ModeSticky, 0, root, "tmp"), "x"), "run")
		}, ""},
		{"by a stranger's link", server, func(root string) string {
			real := folder(t, 0o755, server, root, "run")
			link := filepath.Join(folder(t, 0o777, 0, root, "open"), "link")
			if err := os.Symlink(real, link); err != nil {
				t.Fatal(err)
			}
			return link
		}, "may write into the folder"},
		{"by a link of root's", server, func(root string) string {
			folder(t, 0o755, server, root, "run")
			if err := os.Symlink("../"+filepath.Base(root)+"/run", filepath.Join(root, "link")); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(root, "link")
		}, ""},
		{"root, wherever", 0, func(root string) string { return folder(t, 0o777, stranger, root, "run") }, ""},
		{"the caller himself", caller, func(root string) string { return folder(t, 0o777, stranger, root, "run") }, ""},
		{"the caller's folder", server, func(root string) string {
			return folder(t, 0o755, server, folder(t, 0o755, caller, root, "home"), "run")
		}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.Chmod(filepath.Dir(root), 0o755); err != nil {
				t.Fatal(err)
			}
			dir := row.prepare(root)
			path := filepath.Join(dir, "s.sock")
			// What the server itself says of the place, before there is a socket. A caller's
			// own folder it cannot know.
			if row.uid != caller && !strings.HasPrefix(row.name, "the caller's") {
				if err := socket.Exposed(path, row.uid); (err != nil) != (row.wrong != "") || err != nil && !strings.Contains(err.Error(), row.wrong) {
					t.Errorf("the server says %v of the place, want %q", err, row.wrong)
				}
			}
			listen(t, row.uid, path)
			sockettest.As(t, caller, func() {
				c, err := socket.Dial(t.Context(), path)
				switch {
				case err == nil && row.wrong == "":
					_ = c.Close()
				case row.wrong == "" || !errors.Is(err, socket.ErrUntrusted) || !strings.Contains(err.Error(), row.wrong):
					t.Errorf("%v, want %q", err, row.wrong)
				}
			})
		})
	}
}

// Where so many wait that no more may, one waits for a place, and takes no server for dead.
func TestDialWaitsInACrowd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	first, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := net.Dial("unix", path); !errors.Is(err, syscall.EAGAIN) {
		t.Fatalf("the socket is not crowded: %v", err)
	}
	if _, err := socket.Listen(path, 0o600); err == nil || !strings.Contains(err.Error(), "another server listens there") {
		t.Errorf("a crowded server's socket was taken: %v", err)
	}
	dialled := make(chan error, 1)
	go func() {
		c, err := socket.Dial(t.Context(), path)
		if err == nil {
			_ = c.Close()
		}
		dialled <- err
	}()
	for range 2 {
		nfd, _, err := syscall.Accept(fd)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(nfd)
	}
	if err := <-dialled; err != nil {
		t.Error(err)
	}
}
