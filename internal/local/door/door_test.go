package door

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/local/socket"
	"sallyport/internal/local/socket/sockettest"
)

// open runs a door; it is closed when the test ends.
func open(t *testing.T, l Limits) (d *Door, path string) {
	t.Helper()
	return openTelling(t, l, nil)
}

// openTelling runs a door that tells of connections that came to nothing.
func openTelling(t *testing.T, l Limits, tell func(Unserved)) (d *Door, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), strings.Repeat("deep", 40), "run", "sendmail.sock")
	h := Handler{
		Queue: func(_ context.Context, uid uint32, w io.Writer) error {
			_, err := fmt.Fprintf(w, "{\"uid\":%d}\n", uid)
			return err
		},
		Retry:    func(context.Context, uint32, io.Writer) error { return errors.New("not\nyou") },
		Unserved: tell,
	}
	d, err := Listen(path, l, h, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left behind: %v", err)
		}
	})
	return d, path
}

func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := socket.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// say writes a first line and returns all that is answered.
func say(t *testing.T, path, hello string) string {
	t.Helper()
	c := dial(t, path)
	// Who is turned away at once may find the connection closed before it spoke.
	if _, err := io.WriteString(c, hello); err != nil && !errors.Is(err, syscall.EPIPE) {
		t.Fatal(err)
	}
	out, err := io.ReadAll(c)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	return string(out)
}

// Anybody may connect, and is who the kernel says; what is no SMTP is answered.
func TestDoor(t *testing.T) {
	d, path := open(t, DefaultLimits())
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != Mode {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if got, want := say(t, path, HelloQueue+"\n"), fmt.Sprintf("{\"uid\":%d}\n+\n", os.Getuid()); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := say(t, path, HelloRetry+"\r\n"); got != "-not you\n" {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{"EHLO x\n", "SALLYPORT/2 SMTP\n", "\n", strings.Repeat("x", 100), "GET / HTTP/1.1\n"} {
		if got := say(t, path, bad); got != "" {
			t.Errorf("%q is answered with %q", bad, got)
		}
	}
	c := dial(t, path)
	if _, err := io.WriteString(c, HelloSMTP+"\nEHLO x\r\n"); err != nil {
		t.Fatal(err)
	}
	served, err := d.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	if ours, ok := served.(*Conn); !ok || ours.UID() != uint32(os.Getuid()) {
		t.Errorf("%T", served)
	}
	if line, err := bufio.NewReader(served).ReadString('\n'); line != "EHLO x\r\n" {
		t.Errorf("%q, %v", line, err)
	}
}

// One user has a bounded number of places, and gets them back.
func TestPlacesOfAUser(t *testing.T) {
	l := DefaultLimits()
	l.ConnectionsPerUser, l.HelloTime = 2, time.Minute
	d, path := open(t, l)
	first, second := dial(t, path), dial(t, path)
	_, _ = first, second
	for range 2000 {
		d.mu.Lock()
		n := d.open
		d.mu.Unlock()
		if n == 2 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if got := say(t, path, ""); !strings.HasPrefix(got, "421 4.7.0") {
		t.Errorf("%q", got)
	}
	first.Close()
	for range 2000 {
		if got := say(t, path, HelloQueue+"\n"); strings.HasSuffix(got, "+\n") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("the place does not come back")
}

// Whoever is turned away, or does not say what he is there for, is told of with his uid and why, and nothing that he wrote; who says nothing
// and leaves asks no question.
func TestWhoIsNotServedIsToldOf(t *testing.T) {
	l := DefaultLimits()
	l.HelloTime = time.Minute
	told := make(chan Unserved, 100)
	_, path := openTelling(t, l, func(u Unserved) { told <- u })
	want := func(what, why string) {
		t.Helper()
		if u := <-told; !u.Known || u.UID != uint32(os.Getuid()) || u.Why != why || !u.Reply.IsZero() {
			t.Errorf("%s: %+v", what, u)
		}
	}
	say(t, path, "GET / HTTP/1.1\n")
	want("another protocol", EndForeign)
	say(t, path, strings.Repeat("x", 100))
	want("a long line", EndLong)
	_ = dial(t, path).Close() // says nothing
	cut := dial(t, path)
	if _, err := io.WriteString(cut, "SALLY"); err != nil {
		t.Fatal(err)
	}
	_ = cut.Close()
	want("a line that is cut off", EndCut)
	l.HelloTime = 50 * time.Millisecond
	_, path = openTelling(t, l, func(u Unserved) { told <- u })
	say(t, path, "SALLY")
	want("half a line", EndTimeout)
	l.Connections, l.Reserved = 0, 0
	_, path = openTelling(t, l, func(u Unserved) { told <- u })
	if got := say(t, path, ""); got != "421 4.7.0 too many connections; try again later\r\n" {
		t.Errorf("%q", got)
	}
	if u := <-told; !u.Known || u.UID != uint32(os.Getuid()) || u.Why != EndCrowded || u.Reply.Code != 421 {
		t.Errorf("%+v", u)
	}
}

// Several users together do not lock out root and the server's own user.
func TestReservedPlaces(t *testing.T) {
	l := DefaultLimits()
	l.Connections, l.Reserved, l.ConnectionsPerUser, l.HelloTime = 6, 2, 2, time.Minute
	_, path := open(t, l)
	for at := filepath.Dir(path); at != os.TempDir(); at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	refused := 0
	for uid := uint32(4001); uid <= 4003; uid++ {
		sockettest.As(t, uid, func() {
			for range 2 {
				c := dial(t, path)
				if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
					t.Error(err)
				}
				if n, _ := c.Read(make([]byte, 100)); n > 0 {
					refused++
				}
			}
		})
	}
	if refused != 2 {
		t.Errorf("%d of 6 connections of others were turned away, want 2", refused)
	}
	if got := say(t, path, HelloQueue+"\n"); !strings.HasSuffix(got, "+\n") {
		t.Errorf("root is told %q", got)
	}
}

// Who says nothing is not waited for.
func TestSilence(t *testing.T) {
	l := DefaultLimits()
	l.HelloTime = 50 * time.Millisecond
	_, path := open(t, l)
	if got := say(t, path, ""); got != "" {
		t.Errorf("%q", got)
	}
}

// A living server keeps its socket; a dead one's is replaced; a file is left alone.
func TestListen(t *testing.T) {
	_, path := open(t, DefaultLimits())
	if _, err := Listen(path, DefaultLimits(), Handler{}, time.Now); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("%v", err)
	}
	dead := filepath.Join(t.TempDir(), "s")
	ln, err := socket.Listen(dead, Mode)
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	d, err := Listen(dead, DefaultLimits(), Handler{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Close(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file, DefaultLimits(), Handler{}, time.Now); err == nil {
		t.Error("a file was replaced")
	}
}
