package load

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func options(s *Sink) Options {
	return Options{
		Addr: s.Addr, Connections: 5, Messages: 200, Size: 2000, Prefix: "t",
		From: "a@local.test", To: []string{"b@remote.test", "c@remote.test"}, Pipelining: true,
	}
}

func newSink(t *testing.T, o SinkOptions) *Sink {
	t.Helper()
	s, err := NewSink(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What the generator says was acknowledged is what the sink says arrived.
func TestAccountsAgree(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		for _, perConn := range []int{0, 7} {
			s := newSink(t, SinkOptions{Keep: true})
			o := options(s)
			var acked bytes.Buffer
			o.Pipelining, o.PerConn, o.Acked = pipelining, perConn, &acked
			rep, err := Run(context.Background(), o)
			if err != nil || rep.Acknowledged != 200 || rep.Refused+rep.Broken+rep.Deferred != 0 {
				t.Fatalf("%+v, %v", rep, err)
			}
			ids := s.IDs()
			for _, id := range rep.Acks {
				if ids[id] != 1 {
					t.Errorf("%s arrived %d times", id, ids[id])
				}
			}
			if n := strings.Count(acked.String(), "\n"); n != 200 || s.Messages() != 200 {
				t.Errorf("%d acknowledged in the file, %d at the sink", n, s.Messages())
			}
			if f := s.Faults(); len(f) > 0 {
				t.Errorf("the generator is not clean: %q", f)
			}
			if got := len(s.Kept()[0].Octets); got != o.Size {
				t.Errorf("%d octets, want %d", got, o.Size)
			}
		}
	}
}

// A server that dies loses nobody's account: unacknowledged messages are sent again.
func TestAServerThatDiesIsWaitedFor(t *testing.T) {
	first := newSink(t, SinkOptions{})
	second := newSink(t, SinkOptions{})
	o := options(first)
	o.Patience = 10 * time.Second
	o.Messages = 2000
	addr := make(chan string, 1)
	addr <- first.Addr()
	o.Addr = func() string {
		a := <-addr
		addr <- a
		return a
	}
	o.Progress = func(n int) {
		if n == 500 {
			<-addr
			addr <- second.Addr()
			go first.Close()
		}
	}
	rep, err := Run(context.Background(), o)
	if err != nil || rep.Acknowledged != 2000 || rep.Broken == 0 {
		t.Fatalf("%+v, %v", rep, err)
	}
	one, two := first.IDs(), second.IDs()
	for _, id := range rep.Acks {
		if one[id]+two[id] == 0 {
			t.Errorf("%s is nowhere", id)
		}
	}
}

func TestAServerThatStaysAwayEndsTheRun(t *testing.T) {
	s := newSink(t, SinkOptions{})
	o := options(s)
	s.Close()
	o.Patience = 50 * time.Millisecond
	if rep, err := Run(context.Background(), o); err == nil || rep.Acknowledged != 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// The sink reports octets that must not stand on the wire.
func TestTheSinkFindsDirt(t *testing.T) {
	for octets, want := range map[string]string{
		"NOOP\n": "a bare LF in command",
		"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nx\ny\r\n.\r\n":    "a bare LF in a message",
		"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nx\ry\r\n.\r\n":    "a bare CR in a message",
		"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nx\x00y\r\n.\r\n":  "a NUL in a message",
		"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 3 LAST\r\nx\ny":      "a bare LF in a chunk",
		"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 3 LAST\r\nx\ry":      "a bare CR in a chunk",
		"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nx\r\n..\r\n.\r\n": "",
		"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 4 LAST\r\nx\r\ny":    "",
	} {
		s := newSink(t, SinkOptions{Keep: true, Chunking: true})
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "EHLO x\r\n%sQUIT\r\n", octets)
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		var b bytes.Buffer
		if _, err := b.ReadFrom(c); err != nil {
			t.Errorf("%q: %v", octets, err)
		}
		c.Close()
		got := strings.Join(s.Faults(), "; ")
		if got != want {
			t.Errorf("%q: %q, want %q\n%s", octets, got, want, b.String())
		}
		if strings.Contains(octets, "MAIL") && s.Messages() != 1 {
			t.Errorf("%q: %d messages", octets, s.Messages())
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := Run(context.Background(), Options{}); err == nil {
		t.Error("no options at all were accepted")
	}
}

// A message may have several recipients, which follow each other in turn.
func TestSeveralRecipients(t *testing.T) {
	for _, pipelining := range []bool{true, false} {
		s := newSink(t, SinkOptions{Keep: true})
		o := options(s)
		o.Connections, o.Messages, o.Each, o.Pipelining = 1, 3, 3, pipelining
		o.To = []string{"a@remote.test", "b@remote.test", "c@remote.test", "d@remote.test"}
		if rep, err := Run(context.Background(), o); err != nil || rep.Acknowledged != 3 {
			t.Fatalf("%+v, %v", rep, err)
		}
		var got []string
		for _, r := range s.Kept() {
			for _, to := range r.To {
				got = append(got, to[:1])
			}
		}
		if strings.Join(got, "") != "abcdabcda" {
			t.Errorf("pipelining %t: sent to %q", pipelining, got)
		}
	}
}
