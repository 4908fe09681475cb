package sink

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// say speaks one line after the other on a connection, and returns the last lines of the replies.
func say(t *testing.T, at string, lines ...string) (replies []string) {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(c)
	for i := -1; i < len(lines); i++ {
		if i >= 0 {
			fmt.Fprint(c, lines[i]+"\r\n")
		}
		line, err := in.ReadString('\n')
		for err == nil && len(line) > 3 && line[3] == '-' {
			line, err = in.ReadString('\n')
		}
		if err != nil {
			return append(replies, "closed")
		}
		replies = append(replies, strings.TrimSpace(line)[:3])
	}
	leave(t, c)
	return replies
}

// leave ends a connection, and returns once the sink has seen that.
func leave(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
}

// It takes mail for whom it knows, keeps no more than it may, and serves no more at once.
func TestBounds(t *testing.T) {
	s, err := Open(Options{Name: "mx.auditor.test", Unknown: func(to string) bool { return to != "me@auditor.test" }, Most: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	message := []string{"EHLO x", "MAIL FROM:<>", "RCPT TO:<me@auditor.test>", "DATA", "Subject: back\r\n\r\n..\r\n."}
	for i, want := range []string{"250", "250", "452"} {
		got := say(t, s.Addr(), message...)
		if len(got) == 0 || !strings.Contains(strings.Join(got, " "), "220 250 250 250 354 "+want) {
			t.Errorf("message %d: %q, want %s", i, got, want)
		}
	}
	if got := say(t, s.Addr(), "EHLO x", "MAIL FROM:<a@b.test>", "RCPT TO:<you@auditor.test>", "DATA"); got[3] != "550" || got[4] != "554" {
		t.Errorf("for somebody else: %q", got)
	}
	kept := s.Kept()
	if len(kept) != 2 || kept[0].From != "" || !strings.Contains(string(kept[0].Head), "Subject: back\r\n") {
		t.Errorf("%+v", kept)
	}
	var open []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Read(make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	if got := say(t, s.Addr()); got[0] != "closed" {
		t.Errorf("a third at once: %q", got)
	}
	leave(t, open[0])
	if got := say(t, s.Addr()); got[0] != "220" {
		t.Errorf("once one has left: %q", got)
	}
}
