package site

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/node"
	"sallyport/internal/operate"
)

// slowSink is a next hop that stops at one point of each message until it is let go on.
type slowSink struct {
	t     *testing.T
	ln    net.Listener
	stops string // "RCPT", "data" or "dot"
	at    chan struct{}
	goOn  chan struct{}
	ended chan string // what became of a connection: "cut", or how the message ended
}

func newSlowSink(t *testing.T, stops string) *slowSink {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	Must(t, err)
	s := &slowSink{t: t, ln: ln, stops: stops, at: make(chan struct{}, 10), goOn: make(chan struct{}), ended: make(chan string, 10)}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { s.ended <- s.serve(nc); nc.Close() }()
		}
	}()
	t.Cleanup(func() { ln.Close() })
	return s
}

// stop waits until it may go on, and reports whether the client went away meanwhile.
func (s *slowSink) stop(nc net.Conn, in *bufio.Reader) (gone bool) {
	s.at <- struct{}{}
	for {
		select {
		case <-s.goOn:
			return false
		default:
		}
		if s.stops == "data" { // what came is not read
			select {
			case <-s.goOn:
			case <-time.After(30 * time.Second):
			}
			return false
		}
		_ = nc.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := in.Peek(1); err == io.EOF {
			return true
		}
		_ = nc.SetReadDeadline(time.Time{})
	}
}

func (s *slowSink) serve(nc net.Conn) string {
	in := bufio.NewReader(nc)
	fmt.Fprint(nc, "220 slow\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "cut"
		}
		switch verb := strings.ToUpper(strings.Fields(line + " x")[0]); {
		case verb == "RCPT" && s.stops == "RCPT":
			if s.stop(nc, in) {
				return "cut"
			}
			fmt.Fprint(nc, "250 ok\r\n")
		case verb == "DATA":
			fmt.Fprint(nc, "354 go\r\n")
			if s.stops == "data" {
				s.stop(nc, in)
			}
			for line != ".\r\n" {
				if line, err = in.ReadString('\n'); err != nil {
					return "cut"
				}
			}
			if s.stops == "dot" && s.stop(nc, in) {
				return "cut after the dot"
			}
			fmt.Fprint(nc, "250 taken\r\n")
			return "taken"
		case verb == "QUIT":
			fmt.Fprint(nc, "221 bye\r\n")
			return "quit"
		default:
			fmt.Fprint(nc, "250 ok\r\n")
		}
	}
}

// watchedConn tells when it is closed.
type watchedConn struct {
	net.Conn
	closed chan struct{}
}

func (c watchedConn) Close() error {
	select {
	case c.closed <- struct{}{}:
	default:
	}
	return c.Conn.Close()
}

// end is what became of the connection, as long as somebody may wait for it.
func (s *slowSink) end() string {
	select {
	case what := <-s.ended:
		return what
	case <-time.After(20 * time.Second):
		return "left alone"
	}
}

// steal writes to strangers in alice's name, until that is evidence enough.
func steal(t *testing.T, s *Site, n *Running) {
	t.Helper()
	c := s.SignIn(n, true, "alice@local.test")
	for i := range 50 {
		if r := c.Send("alice@local.test", Message(fmt.Sprint("stolen-", i), "alice@local.test", 300), fmt.Sprintf("victim%d@remote.test", i)); !strings.HasPrefix(r, "250") {
			if a, err := n.Operator().AccountShow(t.Context(), operate.Self(), operate.AccountRef{Address: "alice@local.test"}); err != nil || len(a.Incidents) != 1 {
				t.Errorf("got %q; the account is %+v, %v", r, a, err)
			}
			return
		}
	}
	t.Error("a thief is not found")
}

// A delivery that has not come to its final dot is cut within a second when its account is
// contained, by a person or by evidence, wherever the next hop lets it wait; one after
// its dot awaits the answer, and is not sent again.
func TestADeliveryIsCutBeforeItsFinalDot(t *testing.T) {
	for _, how := range []string{"a freeze", "evidence"} {
		for _, stops := range []string{"RCPT", "data", "dot"} {
			t.Run(how+" at "+stops, func(t *testing.T) {
				NoLeaks(t)
				sink := newSlowSink(t, stops)
				s := New(t, nil, "[hijack]\nmode = \"enforce\"")
				o := s.Options()
				closed := make(chan struct{}, 10)
				o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
					nc, err := (&net.Dialer{}).DialContext(ctx, network, sink.ln.Addr().String())
					return watchedConn{nc, closed}, err
				}
				opened, err := node.Open(t.Context(), s.Config, o)
				Must(t, err)
				n := s.Serve(opened)
				s.Populate(n.Node)
				octets := 100
				if stops == "data" {
					octets = 16 << 20 // more than the kernels of both sides hold
				}
				_, err = n.Operator().Learn(t.Context(), operate.Self(), operate.Learn{Account: "alice@local.test", Correspondents: []operate.Correspondent{{Address: "x@remote.test"}}})
				Must(t, err)
				r := s.SignIn(n, true, "alice@local.test").Send("alice@local.test", Message("slow", "alice@local.test", octets), "x@remote.test")
				if !strings.HasPrefix(r, "250") {
					t.Fatalf("got %q", r)
				}
				<-sink.at
				if stops == "data" {
					time.Sleep(300 * time.Millisecond) // until nothing more goes into the buffers
				}
				began := time.Now()
				if how == "evidence" {
					steal(t, s, n)
					began = time.Now()
				} else {
					_, err = n.Operator().AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test", Reason: "a test"})
					Must(t, err)
				}
				state := func() string {
					m, err := n.Operator().QueueShow(t.Context(), operate.Self(), operate.QueueRef{ID: QueueID(r)})
					if err != nil {
						return err.Error()
					}
					return m.State
				}
				if stops == "dot" {
					time.Sleep(300 * time.Millisecond)
					close(sink.goOn)
					if end := sink.end(); end != "taken" {
						t.Errorf("a delivery after its dot was %s", end)
					}
					Eventually(t, "the message is delivered and gone", func() bool { return strings.Contains(state(), "no message") })
					return
				}
				select {
				case <-closed:
				case <-time.After(20 * time.Second):
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("it took %v until the connection was cut", took)
				}
				close(sink.goOn)
				if end := sink.end(); end != "cut" {
					t.Errorf("a delivery before its dot was %s", end)
				}
				Eventually(t, "the message is held", func() bool { return strings.HasPrefix(state(), "held") })
			})
		}
	}
}
