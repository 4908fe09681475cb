package socket_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	localsocket "sallyport/internal/local/socket"
	"sallyport/internal/local/socket/sockettest"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/socket"
	"sallyport/test/operator"
)

// hold opens connections and writes something into each.
func hold(t *testing.T, path, text string, n int) (held []net.Conn) {
	t.Helper()
	for range n {
		c, err := net.Dial("unix", path)
		operator.Check(t, err)
		t.Cleanup(func() { _ = c.Close() })
		// A connection that made room for another takes nothing more.
		_, _ = fmt.Fprint(c, text)
		held = append(held, c)
	}
	return held
}

func status(t *testing.T, path string) error {
	t.Helper()
	// Less than any bound of time that would free a place.
	ctx, cancel := context.WithTimeout(t.Context(), socket.DefaultLimits().Header-time.Second)
	defer cancel()
	c, err := socket.Dial(ctx, path)
	operator.Check(t, err)
	defer c.Close()
	_, err = call.Do[string](ctx, c, "status", struct{}{})
	return err
}

// serve serves one action at a socket until the test ends.
func serve(t *testing.T, path string) {
	t.Helper()
	ln, err := socket.Listen(path)
	operator.Check(t, err)
	routes := call.NewRoutes()
	call.Answer(routes, "status", func(_ context.Context, by call.Caller, _ struct{}) (string, error) { return by.Name(), nil })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- socket.Serve(ctx, ln, call.Admitting(routes, uint32(os.Geteuid()), call.MayAct), slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// abandon leaves a socket behind, as a process does that was killed.
func abandon(t *testing.T, path string) {
	t.Helper()
	short, done, err := localsocket.ShortPath(path)
	operator.Check(t, err)
	defer done()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	operator.Check(t, err)
	ln.SetUnlinkOnClose(false)
	operator.Check(t, ln.Close())
}

// Whoever holds connections and asks nothing keeps nobody waiting.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	serve(t, path)
	held := hold(t, path, "", 5*socket.DefaultLimits().PerUser)
	operator.Check(t, status(t, path))
	operator.Check(t, held[0].SetReadDeadline(time.Now().Add(socket.DefaultLimits().Header-time.Second)))
	if _, err := held[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection that waited longest is open still: %v", err)
	}
}

// Where every place of a user is at work, the next one is told so at once, and gets in
// when one has ended.
func TestFullPlacesSaySo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	serve(t, path)
	held := hold(t, path, "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", socket.DefaultLimits().PerUser)
	for _, c := range held { // until the server asks for what it waits for
		operator.Check(t, c.SetReadDeadline(time.Now().Add(socket.DefaultLimits().Header)))
		if _, err := c.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	err := status(t, path)
	operator.WantCode(t, err, call.CodeUnavailable)
	if err == nil || !strings.Contains(err.Error(), "at work already") {
		t.Errorf("%v", err)
	}
	for _, c := range held[:2] {
		_ = c.Close()
	}
	for range 200 {
		if err = status(t, path); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the place does not come back: %v", err)
}

// A user who is neither root nor the server's own is told so, and takes no place of
// theirs, even where the socket were open to him.
func TestOthersTakeNoPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	serve(t, path)
	operator.Check(t, errors.Join(os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755), os.Chmod(path, 0o666)))
	sockettest.As(t, 4002, func() {
		hold(t, path, "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", 5*socket.DefaultLimits().PerUser)
	})
	operator.Check(t, status(t, path))
	sockettest.As(t, 4002, func() {
		nc, err := net.Dial("unix", path)
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		fmt.Fprint(nc, "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
		answer := make([]byte, 4096)
		_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := nc.Read(answer)
		if err != nil || !strings.Contains(string(answer[:n]), "403") || !strings.Contains(string(answer[:n]), "only root and the server's own user") {
			t.Errorf("%q, %v", answer[:n], err)
		}
	})
}

// A password is told to the server alone, never to whoever put a socket in its place.
func TestAnImpostorIsTold(t *testing.T) {
	dir := t.TempDir()
	operator.Check(t, errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777)))
	path := filepath.Join(dir, "s.sock")
	heard := make(chan string, 1)
	sockettest.As(t, 4002, func() {
		ln, err := localsocket.Listen(path, 0o666)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = ln.Close() })
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 100)
			n, _ := c.Read(b)
			heard <- string(b[:n])
		}()
	})
	_, err := socket.Dial(t.Context(), path)
	if !errors.Is(err, localsocket.ErrUntrusted) || errors.Is(err, socket.ErrNoServer) {
		t.Errorf("%v", err)
	}
	if said := <-heard; said != "" {
		t.Errorf("it heard %q", said)
	}
}

// TestTheSocketIsClosedToOthers looks at its mode, and at what stands in its way.
func TestTheSocketIsClosedToOthers(t *testing.T) {
	// Deeper than the 107 octets that a socket address holds.
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	operator.Check(t, os.MkdirAll(dir, 0o700))
	path := filepath.Join(dir, "s.sock")
	_, err := socket.Dial(t.Context(), path)
	if !errors.Is(err, socket.ErrNoServer) {
		t.Errorf("without a server: %v", err)
	}
	// A process that was killed leaves its socket behind.
	abandon(t, path)
	_, err = socket.Dial(t.Context(), path)
	if !errors.Is(err, socket.ErrNoServer) {
		t.Errorf("with a dead socket: %v", err)
	}
	serve(t, path)
	info, err := os.Stat(path)
	operator.Check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	c, err := socket.Dial(t.Context(), path)
	operator.Check(t, err)
	defer c.Close()
	_, err = call.Do[string](t.Context(), c, "status", struct{}{})
	operator.Check(t, err)

	file := filepath.Join(t.TempDir(), "file")
	operator.Check(t, os.WriteFile(file, []byte("precious"), 0o600))
	if _, err := socket.Listen(file); err == nil {
		t.Error("a file was replaced by a socket")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

// Connections that were made beforehand serve the one who made them, each for one request at a time, and no
// more than there are.
func TestConnectionsMadeBeforehand(t *testing.T) {
	var ours, theirs []*net.UnixConn
	for range 2 {
		a, b := pair(t)
		ours, theirs = append(ours, a), append(theirs, b)
	}
	routes, busy, free := call.NewRoutes(), make(chan struct{}), make(chan struct{})
	call.Answer(routes, "who", func(_ context.Context, by call.Caller, _ struct{}) (string, error) { return by.Name(), nil })
	call.Answer(routes, "wait", func(ctx context.Context, _ call.Caller, _ struct{}) (string, error) {
		busy <- struct{}{}
		<-free
		return "", nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- socket.ServeConns(ctx, theirs, call.Admitting(routes, uint32(os.Geteuid()), call.MayAct), slog.New(slog.DiscardHandler))
	}()
	c := socket.Over(ours)
	if got, err := call.Do[string](t.Context(), c, "who", struct{}{}); err != nil || got != fmt.Sprintf("uid %d", os.Geteuid()) {
		t.Errorf("%q, %v", got, err)
	}
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := call.Do[string](t.Context(), c, "wait", struct{}{})
			ended <- err
		}()
		<-busy
	}
	if _, err := call.Do[string](t.Context(), c, "who", struct{}{}); err == nil || !strings.Contains(err.Error(), "no more connections") {
		t.Errorf("a third at once: %v", err)
	}
	for range 2 {
		free <- struct{}{}
		operator.Check(t, <-ended)
	}
	cancel()
	operator.Check(t, <-done)
}

// pair are the two ends of a connection.
func pair(t *testing.T) (one, other *net.UnixConn) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "p"), Net: "unix"})
	operator.Check(t, err)
	defer ln.Close()
	one, err = net.DialUnix("unix", nil, ln.Addr().(*net.UnixAddr))
	operator.Check(t, err)
	other, err = ln.AcceptUnix()
	operator.Check(t, err)
	return one, other
}

// A socket for a group is the group's alone, in a folder that is made for it; who is of it may ask, as the
// kernel says.
func TestASocketForAGroup(t *testing.T) {
	dir := t.TempDir()
	operator.Check(t, errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)))
	path, group := filepath.Join(dir, "run", "group.sock"), os.Getegid()
	if os.Geteuid() == 0 {
		group = 4002
	}
	ln, err := socket.ListenGroup(path, group, 1)
	operator.Check(t, err)
	info, err := os.Stat(path)
	operator.Check(t, err)
	if info.Mode().Perm() != socket.GroupMode {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	operator.Check(t, ln.Close())
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
	if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
}
