package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/door"
)

// resting is a connection whose client has said EHLO and then nothing, until it rested.
type resting struct {
	*dialogue
	c    *conn
	m    *memory
	stop context.CancelFunc // of the server
}

// rested serves one connection on a real socket until it rests.
func rested(t *testing.T, cfg Config, client *tls.Config) *resting {
	t.Helper()
	r := &resting{m: &memory{}}
	s, err := newServer(cfg, r.m)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r.dialogue = dial(t, ln.Addr().String())
	r.client = client
	served, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	r.stop = stop
	begun := make(chan *conn, 1)
	go func() { begun <- s.begin(ctx, served, door.SocketOf(served), &door.Origin{}, nil) }()
	if cfg.Kind == KindSubmissions {
		r.startTLS()
	}
	r.steps("S: 220\nC: EHLO x\nS: 250")
	if r.c = <-begun; r.c == nil || !r.c.resting {
		t.Fatal("a connection that says nothing does not rest")
	}
	t.Cleanup(r.c.release)
	return r
}

// wakes waits until the rest is over, and has the connection go on; over: to its end, or to its next rest.
func (r *resting) wakes(over bool, transcript string) {
	r.t.Helper()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r.c.rest()
		r.c.goOn()
	}()
	r.steps(transcript)
	<-gone
	if r.c.resting == over {
		r.t.Errorf("rests: %v", r.c.resting)
	}
	if over {
		r.m.check(r.t, 1)
	}
}

// A connection that says nothing holds no buffer, and goes on as if it had waited all the time:
// with what the client says next, as often as it likes.
func TestAConnectionRests(t *testing.T) {
	for _, kind := range []Kind{KindMX, KindSubmissions} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			cfg, client := withTLS(t, testConfig(kind))
			r := rested(t, cfg, client)
			for range 2 {
				if cap(r.c.in.Peek()) > 0 || cap(r.c.out) > 0 {
					t.Errorf("%d octets to read into, %d to write from", cap(r.c.in.Peek()), cap(r.c.out))
				}
				r.wakes(false, "C: NOOP\nS: 250\nC: RSET\nS: 250")
			}
			r.wakes(true, "C: NOOP\nC: QUIT\nS: 250\nS: 221\nS.")
		})
	}
}

// What ends a wait for a command ends a rest, with the same answer.
func TestARestEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		limit      func(*Limits)
		act        func(*resting)
		transcript string
		end        string
	}{
		"by its time":     {func(l *Limits) { l.CommandTimeout = patience + 2*time.Second }, nil, "S: 421 4.4.2\nS.", EndTimeout},
		"by the session":  {func(l *Limits) { l.SessionDuration = patience + 2*time.Second }, nil, "S: 421 4.7.0\nS.", EndDuration},
		"by the client":   {nil, func(r *resting) { r.raw.Close() }, "", EndEOF},
		"by a shutdown":   {nil, func(r *resting) { r.stop() }, "S: 421 4.3.2\nS.", EndShutdown},
		"by an operator":  {nil, func(r *resting) { r.c.interrupt() }, "S: 421 4.3.2\nS.", EndShutdown},
		"by want of room": {nil, func(r *resting) { r.c.giveWay() }, "S: 421 4.7.0\nS.", EndCrowded},
		"once abandoned":  {nil, func(r *resting) { r.c.abandon() }, "S.", EndEOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(KindMX)
			if tt.limit != nil {
				tt.limit(&cfg.Limits)
			}
			r := rested(t, cfg, nil)
			if tt.act != nil {
				go func() {
					time.Sleep(patience / 4) // most often it rests by then; any order must do
					tt.act(r)
				}()
			}
			before := r.c.deadline
			r.wakes(true, tt.transcript)
			if r.m.ends[0] != tt.end {
				t.Errorf("ended by %s; want %s", r.m.ends[0], tt.end)
			}
			if r.c.deadline != before { // it counts from when the command was first waited for
				t.Errorf("a rest gave %v more", r.c.deadline.Sub(before))
			}
		})
	}
}

// Nobody rests whose time is over, or who has begun a record of TLS: of what was read of it no poller knows
// any more, and how long it takes counts from its first octet.
func TestWhoMayRest(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		wire *wire
		want bool
	}{
		{&wire{patient: true, deadline: at.Add(1), ends: at.Add(1)}, true},
		{&wire{patient: true, deadline: at, ends: at.Add(1)}, false},
		{&wire{patient: true, deadline: at.Add(1), ends: at}, false},
		{&wire{patient: true, deadline: at.Add(1), ends: at.Add(1), first: at.Add(-1)}, false},
	} {
		w := tt.wire
		w.now = func() time.Time { return at }
		if got := w.lasts(); got != tt.want || w.patient {
			t.Errorf("%v, patient %v; want %v", got, w.patient, tt.want)
		}
	}
}

// Records that come in pieces, before a rest and behind one, are commands like others.
func TestRecordsInPieces(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmissions))
	addr, _ := serve(t, cfg, &memory{})
	d := dial(t, addr)
	cut := &cutter{Conn: d.raw}
	tc := tls.Client(cut, client)
	d.nc, d.br = tc, bufio.NewReader(tc)
	d.steps("S: 220\nC: EHLO x\nS: 250")
	cut.pause = 2 * patience
	for range 2 {
		d.steps("C: NOOP\nS: 250")
		time.Sleep(2 * patience)
	}
	d.steps("C: QUIT\nS: 221\nS.")
}

// cutter sends the first octets of each write, and the rest of it after a pause.
type cutter struct {
	net.Conn
	pause time.Duration
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.pause == 0 {
		return c.Conn.Write(p)
	}
	const first = 9
	n, err := c.Conn.Write(p[:min(first, len(p))])
	if err != nil || n == len(p) {
		return n, err
	}
	time.Sleep(c.pause)
	m, err := c.Conn.Write(p[n:])
	return n + m, err
}

// deadlines is a socket that counts how often it is told until when to read, and to write.
type deadlines struct {
	*net.TCPConn
	reads, writes atomic.Int32
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.reads.Add(1)
	return d.TCPConn.SetReadDeadline(t)
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.writes.Add(1)
	return d.TCPConn.SetWriteDeadline(t)
}

// Whoever is busy has a deadline set now and then, and not for each command.
func TestDeadlinesOfWhoIsBusy(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d := dial(t, ln.Addr().String())
	served, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	counted := &deadlines{TCPConn: served.(*net.TCPConn)}
	cfg := testConfig(KindMX)
	const commands = 500
	cfg.Limits.Junk = 2 * commands
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ServeConn(context.Background(), counted, cfg, &memory{})
	}()
	d.steps("S: 220\nC: EHLO x\nS: 250")
	d.steps(strings.Repeat("C: NOOP\nS: 250\n", commands))
	d.steps("C: QUIT\nS: 221\nS.")
	<-ended
	if r, w := counted.reads.Load(), counted.writes.Load(); r > commands/2 || w > commands/2 {
		t.Errorf("%d deadlines of reads and %d of writes for %d commands", r, w, commands)
	}
}

// Many clients that come and go quiet all the time are each answered, whatever the moment in which
// they speak.
func TestClientsThatSpeakAtAnyMoment(t *testing.T) {
	addr, _ := serve(t, testConfig(KindMX), &memory{})
	const clients = 40
	ended := make(chan error, clients)
	for i := range clients {
		go func() { ended <- now(addr, patience-time.Duration(i-clients/2)*500*time.Microsecond) }()
	}
	for range clients {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// now says something every pause, about when its connection goes to rest.
func now(addr string, pause time.Duration) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	br := bufio.NewReader(nc)
	for i, line := range strings.Split("|EHLO x|NOOP|NOOP|NOOP|NOOP|NOOP|QUIT", "|") {
		if i > 0 {
			time.Sleep(pause)
			if _, err := io.WriteString(nc, line+"\r\n"); err != nil {
				return err
			}
		}
		for more := true; more; {
			got, err := br.ReadString('\n')
			if err != nil || got[0] != '2' {
				return fmt.Errorf("%s: %q, %w", line, got, err)
			}
			more = got[3] == '-'
		}
	}
	return nil
}
