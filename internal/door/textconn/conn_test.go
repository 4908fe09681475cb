package textconn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/door/textconn"
)

// pair returns a Conn on loopback, and who speaks with it.
func pair(t *testing.T, change func(*textconn.Options)) (*textconn.Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), nc.Close() })
	o := textconn.Options{
		Now: time.Now, SignInBy: time.Now().Add(time.Minute), WriteTimeout: time.Minute, OutOctets: 1 << 10,
		EndGrace: time.Minute, LingerTimeout: time.Minute, LingerOctets: 1 << 20,
	}
	if change != nil {
		change(&o)
	}
	return textconn.New(nc, o), client.(*net.TCPConn)
}

// What is answered is sent when the client is waited for, and before, when it is much.
func TestAnswersAreGathered(t *testing.T) {
	c, client := pair(t, nil)
	c.WaitUntil(time.Now().Add(time.Minute))
	c.Line("* one", " and more")
	c.Write([]byte("half a "))
	c.Out = append(c.Out, "line"...)
	c.Line()
	_ = client.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := client.Read(make([]byte, 1)); err == nil {
		t.Fatalf("%d octets were sent before anybody waits", n)
	}
	go func() { _, _ = client.Write([]byte("go on\r\n")) }()
	if line, err := c.In.Line(nil, 100); err != nil || string(line) != "go on\r\n" {
		t.Fatalf("%q %v", line, err)
	}
	want := "* one and more\r\nhalf a line\r\n"
	got := make([]byte, len(want))
	_ = client.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(client, got); err != nil || string(got) != want {
		t.Fatalf("%q %v", got, err)
	}
	c.Write([]byte(strings.Repeat("x", 1<<10)))
	if len(c.Out) != 0 {
		t.Errorf("%d octets wait beyond what is gathered", len(c.Out))
	}
	if c.Rest(); c.Out != nil {
		t.Error("an idle connection keeps a large buffer")
	}
}

// Each reason for which no more octets come is told from the others.
func TestWhyNothingComes(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*textconn.Options)
		do     func(*textconn.Conn, *net.TCPConn)
		want   error
	}{
		"the wait is over":        {nil, func(c *textconn.Conn, _ *net.TCPConn) { c.WaitUntil(time.Now().Add(20 * time.Millisecond)) }, textconn.ErrTimeout},
		"one read takes too long": {nil, func(c *textconn.Conn, _ *net.TCPConn) { c.WaitEach(20 * time.Millisecond) }, textconn.ErrTimeout},
		"nobody signs in":         {func(o *textconn.Options) { o.SignInBy = time.Now().Add(20 * time.Millisecond) }, func(c *textconn.Conn, _ *net.TCPConn) { c.WaitUntil(time.Now().Add(time.Minute)) }, textconn.ErrDuration},
		"it ended before":         {nil, func(c *textconn.Conn, _ *net.TCPConn) { c.Interrupt(textconn.Ending{Why: "policy"}) }, textconn.ErrEnding},
		"the client hangs up": {nil, func(c *textconn.Conn, client *net.TCPConn) {
			c.WaitUntil(time.Now().Add(time.Minute))
			_ = client.Close()
		}, io.EOF},
		"who signed in may linger": {func(o *textconn.Options) { o.SignInBy = time.Now().Add(-time.Second) }, func(c *textconn.Conn, _ *net.TCPConn) {
			c.SignedIn()
			c.WaitUntil(time.Now().Add(20 * time.Millisecond))
		}, textconn.ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			c, client := pair(t, tt.change)
			tt.do(c, client)
			if err := c.In.Wait(); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// A session that must end hears of it while it waits, once, and is cut when its grace is over.
func TestASessionIsEnded(t *testing.T) {
	c, client := pair(t, func(o *textconn.Options) { o.EndGrace = 50 * time.Millisecond })
	cut := make(chan struct{})
	c.Cancelled(func() { close(cut) })
	c.WaitUntil(time.Now().Add(time.Minute))
	time.AfterFunc(20*time.Millisecond, func() {
		c.Interrupt(textconn.Ending{Why: "policy", Text: "the password was changed"})
		c.Interrupt(textconn.Ending{Why: "shutdown"})
	})
	if err := c.In.Wait(); !errors.Is(err, textconn.ErrEnding) || !c.Ended() {
		t.Fatal(err)
	}
	if e := c.Ending(); e.Why != "policy" || e.Text != "the password was changed" {
		t.Errorf("it ends for %+v", e)
	}
	began := time.Now()
	if c.Pause(context.Background(), time.Minute); time.Since(began) > 30*time.Second {
		t.Error("a pause goes on beyond the end")
	}
	<-cut
	_ = client.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := client.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the transport stays open: %v", err)
	}
}

// The last word is heard although the client still sends.
func TestTheLastWordIsHeard(t *testing.T) {
	c, client := pair(t, nil)
	_, _ = client.Write([]byte(strings.Repeat("x", 1<<16)))
	c.Line("* BYE for a reason")
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); c.Linger() }()
	got, err := io.ReadAll(client)
	if err != nil || string(got) != "* BYE for a reason\r\n" {
		t.Errorf("%q %v", got, err)
	}
	_ = client.Close()
	<-done
}

// A client that is gone makes the first write that fails the last.
func TestNothingIsWrittenAfterAFault(t *testing.T) {
	c, client := pair(t, func(o *textconn.Options) { o.WriteTimeout = 50 * time.Millisecond })
	_ = client.SetReadBuffer(1)
	for range 20000 {
		if c.Write(make([]byte, 1<<10)); c.Lost() != nil {
			break
		}
	}
	if !errors.Is(c.Lost(), textconn.ErrTimeout) {
		t.Fatalf("a client that does not read: %v", c.Lost())
	}
	if c.Line("more"); c.Flush() == nil || len(c.Out) != 0 {
		t.Error("more is written")
	}
}

func TestAddrPort(t *testing.T) {
	if got := textconn.AddrPort(&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1"), Port: 25}); got != netip.MustParseAddrPort("192.0.2.1:25") {
		t.Error(got)
	}
	if got := textconn.AddrPort(&net.UnixAddr{}); got.IsValid() {
		t.Error(got)
	}
}
