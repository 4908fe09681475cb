package socket_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sallyport/internal/local/socket"
)

// The way to a socket is followed as the kernel does, to its end; where it has none, or
// leads in a circle, the place is not called safe.
func TestTheWayHasAnEnd(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder to another user")
	}
	root := t.TempDir()
	for p := root; p != "/tmp" && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := folder(t, 0o755, server, root, "run")
	for name, to := range map[string]string{"absolute": run, "relative": "./run", "around": "run/../run", "ring": "ring", "there": "back", "back": "there"} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(root)
	for path, wrong := range map[string]string{
		run: "", filepath.Join(root, "absolute"): "", filepath.Join(root, "relative"): "", filepath.Join(root, "around"): "", "run": "", "absolute": "",
		filepath.Join(root, "ring"): "too many links", filepath.Join(root, "there"): "too many links",
		filepath.Join(root, "nobody"): "no such file", filepath.Join(root, "nobody", "s"): "no such file",
	} {
		err := socket.Exposed(filepath.Join(path, "s.sock"), server)
		if (err != nil) != (wrong != "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v, want %q", path, err, wrong)
		}
	}
	// Root learns of no place that another may not use.
	if err := socket.Exposed(filepath.Join(root, "nobody", "s.sock"), 0); err != nil {
		t.Errorf("for root: %v", err)
	}
}

// Whoever waits for a place in a crowd does not wait longer than he wants, and who calls
// where nobody is gets an error and no connection.
func TestDialEnds(t *testing.T) {
	dir := t.TempDir()
	if c, err := socket.Dial(t.Context(), filepath.Join(dir, "nobody.sock")); c != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nobody answers with %v, %v", c, err)
	}
	if c, err := socket.Dial(t.Context(), filepath.Join(dir, "nowhere", "s.sock")); c != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nowhere answers with %v, %v", c, err)
	}
	path := filepath.Join(dir, "s.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	first, err := socket.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := socket.Dial(ctx, path); c != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("who does not wait gets %v, %v", c, err)
	}
}

// A dead socket is replaced, with the mode that is asked for; anything else in its place
// is left as it is.
func TestListenReplacesTheDeadAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.sock")
	for range 2 {
		ln, err := socket.Listen(path, 0o640)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%v, %v", info, err)
		}
		if _, err := socket.Listen(path, 0o640); err == nil || !strings.Contains(err.Error(), "another server listens there") {
			t.Errorf("beside a server that lives: %v", err)
		}
		_ = ln.Close()
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("the socket went with its listener: %v", err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := socket.Listen(file, 0o600); err == nil || !strings.Contains(err.Error(), "it is no socket") {
		t.Errorf("over a file: %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "x" {
		t.Errorf("the file is %q, %v", b, err)
	}
	if _, err := socket.Listen(filepath.Join(dir, "nowhere", "s.sock"), 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no folder: %v", err)
	}
}
