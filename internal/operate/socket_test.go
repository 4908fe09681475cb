package operate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	localsocket "sallyport/internal/local/socket"
	"sallyport/internal/local/socket/sockettest"
)

// hold opens connections and writes something into each.
func hold(t *testing.T, path, text string, n int) (held []net.Conn) {
	t.Helper()
	for range n {
		c, err := net.Dial("unix", path)
		check(t, err)
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
	ctx, cancel := context.WithTimeout(t.Context(), DefaultSocketLimits().Header-time.Second)
	defer cancel()
	c, err := Dial(ctx, path)
	check(t, err)
	defer c.Close()
	_, err = c.Status(ctx)
	return err
}

// Whoever holds connections and asks nothing keeps nobody waiting.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	serve(t, path, newWorld(t).Operator)
	held := hold(t, path, "", 5*DefaultSocketLimits().PerUser)
	check(t, status(t, path))
	check(t, held[0].SetReadDeadline(time.Now().Add(DefaultSocketLimits().Header-time.Second)))
	if _, err := held[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection that waited longest is open still: %v", err)
	}
}

// Where every place of a user is at work, the next one is told so at once, and gets in
// when one has ended.
func TestFullPlacesSaySo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	serve(t, path, newWorld(t).Operator)
	held := hold(t, path, "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n", DefaultSocketLimits().PerUser)
	for _, c := range held { // until the server asks for what it waits for
		check(t, c.SetReadDeadline(time.Now().Add(DefaultSocketLimits().Header)))
		if _, err := c.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	err := status(t, path)
	wantCode(t, err, CodeUnavailable)
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
	serve(t, path, newWorld(t).Operator)
	check(t, errors.Join(os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755), os.Chmod(path, 0o666)))
	sockettest.As(t, 4002, func() {
		hold(t, path, "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", 5*DefaultSocketLimits().PerUser)
	})
	check(t, status(t, path))
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
	check(t, errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777)))
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
	_, err := Dial(t.Context(), path)
	if !errors.Is(err, localsocket.ErrUntrusted) || errors.Is(err, ErrNoServer) {
		t.Errorf("%v", err)
	}
	if said := <-heard; said != "" {
		t.Errorf("it heard %q", said)
	}
}
