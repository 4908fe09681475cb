package stage

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// pair is a connection that a server took through a hall, and its client's end.
func pair(t *testing.T, clock *Clock) (server, client net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if server, err = (hall{ln, clock}).Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server, client
}

// An hour that is let pass is one for those who are waited for: whoever has less than that left is
// timed out, in a read that waits already too, and nobody else is.
func TestTimeOutsPassWithTheClock(t *testing.T) {
	clock := new(Clock)
	clock.Advance(15 * 24 * time.Hour)
	short, _ := pair(t, clock)
	long, talks := pair(t, clock)
	both, _ := pair(t, clock)
	none, wakes := pair(t, clock)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(short.SetReadDeadline(clock.Now().Add(50 * time.Minute)))
	must(long.SetReadDeadline(clock.Now().Add(70 * time.Minute)))
	must(both.SetDeadline(clock.Now().Add(50 * time.Minute)))
	must(none.SetReadDeadline(time.Time{}))
	ended := make(chan error, 1)
	go func() {
		_, err := short.Read(make([]byte, 1))
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Fatalf("it ended before time passed: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	clock.Advance(time.Hour)
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read that waits: %v", err)
	}
	if _, err := both.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write: %v", err)
	}
	for c, other := range map[net.Conn]net.Conn{long: talks, none: wakes} {
		_, err := other.Write([]byte("x"))
		must(err)
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Errorf("one that has time left: %v", err)
		}
	}
}

// Open are those that the server has not closed, whatever their clients did.
func TestConnectionsAreThoseOfTheServer(t *testing.T) {
	clock := new(Clock)
	first, _ := pair(t, clock)
	_, gone := pair(t, clock)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	if n := clock.connections(); n != 2 {
		t.Errorf("%d are open, want 2", n)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if n := clock.connections(); n != 1 {
		t.Errorf("%d are open, want 1", n)
	}
}
