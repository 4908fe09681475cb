package node

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/incident"
	"sallyport/internal/mail"
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
	must(t, err)
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

// A delivery that has not come to its final dot is cut within a second when its account is
// contained, by a person or by evidence, wherever the next hop lets it wait; one after
// its dot awaits the answer, and is not sent again.
func TestADeliveryIsCutBeforeItsFinalDot(t *testing.T) {
	alice, err := mail.ParseAddress("alice@local.test", mail.ASCII)
	must(t, err)
	for _, how := range []string{"a freeze", "evidence"} {
		for _, stops := range []string{"RCPT", "data", "dot"} {
			t.Run(how+" at "+stops, func(t *testing.T) {
				noLeaks(t)
				sink := newSlowSink(t, stops)
				s := newSite(t, nil)
				o := s.options()
				closed := make(chan struct{}, 10)
				o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
					nc, err := (&net.Dialer{}).DialContext(ctx, network, sink.ln.Addr().String())
					return watchedConn{nc, closed}, err
				}
				node, err := Open(t.Context(), s.cfg, o)
				must(t, err)
				n := s.serve(node)
				s.populate(n.Node)
				octets := 100
				if stops == "data" {
					octets = 16 << 20 // more than the kernels of both sides hold
				}
				if r := s.signIn(n, true, "alice@local.test").send("alice@local.test", message("slow", "alice@local.test", octets), "x@remote.test"); !strings.HasPrefix(r, "250") {
					t.Fatalf("got %q", r)
				}
				<-sink.at
				if stops == "data" {
					time.Sleep(300 * time.Millisecond) // until nothing more goes into the buffers
				}
				began := time.Now()
				if how == "evidence" {
					_, _, _, err = n.incidents.Contain(t.Context(), incident.Incident{Account: alice, Rule: "hijack", By: "the hijack detector", Reason: "a test"})
				} else {
					_, err = n.Operator().AccountFreeze(t.Context(), root, operate.AccountReason{Address: "alice@local.test", Reason: "a test"})
				}
				must(t, err)
				held := func() bool {
					status, err := n.Operator().Status(t.Context(), root, struct{}{})
					must(t, err)
					return status.Queue.Held == 1
				}
				if stops == "dot" {
					time.Sleep(300 * time.Millisecond)
					close(sink.goOn)
					if end := sink.end(); end != "taken" {
						t.Errorf("a delivery after its dot was %s", end)
					}
					eventually(t, "the message is delivered and gone", func() bool { return n.data.Spool.Stats().Entries == 0 })
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
				eventually(t, "the message is held", held)
			})
		}
	}
}
