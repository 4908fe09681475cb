package door

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/screen"
)

// clerk is an engine that says who came and what he said in one line; it is asked for its door by each connection.
type clerk struct{ headless chan string }

func (clerk) Serve(_ context.Context, nc net.Conn, o *Origin, p *Place) {
	defer nc.Close()
	b := make([]byte, 100)
	n, _ := nc.Read(b)
	_, _ = fmt.Fprintf(nc, "%s through %s, counted %v, said %s", o.Remote.Addr(), o.Balancer.Addr(), p != nil, b[:n])
}

func (clerk) TurnAway(nc net.Conn, from netip.Addr) {
	_, _ = fmt.Fprintf(nc, "too many of %s", from)
	_ = nc.Close()
}

func (c clerk) Headless(balancer netip.Addr, why string) {
	c.headless <- balancer.String() + ": " + why
}

// gate is a door on loopback.
type gate struct {
	*Entrance
	t      *testing.T
	ln     net.Listener
	limits Limits
	logged *syncBuffer
	ended  chan error
	end    context.CancelFunc
	// headless are those without a header, as the engine is told of them.
	headless chan string
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func openGate(t *testing.T, balancers ...netip.Prefix) *gate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, ln: ln, limits: DefaultLimits(), logged: &syncBuffer{}, ended: make(chan error, 1), headless: make(chan string, 100)}
	g.limits.Connections = 2
	g.Entrance = &Entrance{
		Name: "mx", Admission: NewAdmission(), Limits: &g.limits, Balancers: balancers, Stage: screen.StageOurs, Now: time.Now,
		Logger: slog.New(slog.NewTextHandler(g.logged, nil)), Counted: &Tallies{}, Engine: clerk{g.headless},
	}
	return g
}

func (g *gate) begin() {
	ctx, end := context.WithCancel(g.t.Context())
	g.end = end
	go func() {
		g.ended <- Accept(ctx, g.ln, func() (*Entrance, func(context.Context, net.Conn, *sync.WaitGroup)) { return g.Entrance, g.Admit })
	}()
	g.t.Cleanup(end)
}

func (g *gate) dial() net.Conn {
	g.t.Helper()
	c, err := net.DialTimeout("tcp", g.ln.Addr().String(), 20*time.Second)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// says is what a connection is told that says something.
func (g *gate) says(text string) string {
	g.t.Helper()
	c := g.dial()
	if _, err := io.WriteString(c, text); err != nil {
		g.t.Fatal(err)
	}
	answer, _ := io.ReadAll(c)
	return string(answer)
}

// Who comes is served as who he is; who comes when every place is taken is told so.
func TestWhoComesIsServed(t *testing.T) {
	g := openGate(t)
	g.begin()
	if got := g.says("hello"); got != "127.0.0.1 through invalid IP, counted true, said hello" {
		t.Errorf("served: %q", got)
	}
	for until := time.Now().Add(30 * time.Second); g.Admission.Open() > 0 && time.Now().Before(until); time.Sleep(time.Millisecond) {
	}
	first, second := g.dial(), g.dial()
	for until := time.Now().Add(30 * time.Second); g.Admission.Open() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("two connections are not counted")
		}
	}
	if got := g.says(""); got != "too many of 127.0.0.1" {
		t.Errorf("a third: %q", got)
	}
	_, _ = first.Close(), second.Close()
	g.end()
	if err := <-g.ended; err != nil {
		t.Errorf("ended: %v", err)
	}
	if _, err := net.Dial("tcp", g.ln.Addr().String()); err == nil {
		t.Error("the door is open still")
	}
}

// A balancer says who its client is; one that says nothing proper is closed without a word, and told of; one that
// speaks for itself is the client.
func TestWhoABalancerNames(t *testing.T) {
	g := openGate(t, netip.MustParsePrefix("127.0.0.0/8"))
	g.begin()
	if got := g.says("PROXY TCP4 192.0.2.7 192.0.2.1 5000 25\r\nhello"); got != "192.0.2.7 through 127.0.0.1, counted true, said hello" {
		t.Errorf("through a balancer: %q", got)
	}
	if got := g.says("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00hello"); got != "127.0.0.1 through invalid IP, counted true, said hello" {
		t.Errorf("a balancer itself: %q", got)
	}
	if got := g.says("EHLO client.test\r\n"); got != "" || !strings.Contains(g.logged.String(), "no proper PROXY header") {
		t.Errorf("without a header: %q, %s", got, g.logged.String())
	}
	if got := <-g.headless; got != "127.0.0.1: it begins with no PROXY header" {
		t.Errorf("without a header: %q is told", got)
	}
	silent := g.dial()
	_ = silent.Close()
	if got := <-g.headless; got != "127.0.0.1: it ended before its PROXY header did" {
		t.Errorf("without a word: %q is told", got)
	}
	counted := func(want int) {
		for until := time.Now().Add(30 * time.Second); g.Admission.Open() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%d connections are counted, want %d", g.Admission.Open(), want)
			}
		}
	}
	counted(0)
	waits := g.dial()
	counted(1)
	g.end()
	if got := <-g.headless; got != "127.0.0.1: "+CauseShutdown {
		t.Errorf("at the end: %q is told", got)
	}
	_ = waits.Close()
	g = openGate(t, netip.MustParsePrefix("127.0.0.0/8"))
	g.limits.ConnectionsPerNetwork = 1
	g.begin()
	busy := g.dial()
	if _, err := io.WriteString(busy, "PROXY TCP4 198.51.100.7 192.0.2.1 5000 25\r\n"); err != nil {
		t.Fatal(err)
	}
	told := func() string { return g.says("PROXY TCP4 198.51.100.8 192.0.2.1 5000 25\r\nhello") }
	got := told()
	for until := time.Now().Add(30 * time.Second); got != "too many of 198.51.100.8" && time.Now().Before(until); got = told() {
	}
	if got != "too many of 198.51.100.8" {
		t.Errorf("another client of one network: %q", got)
	}
}

// A connection that nobody counts is served all the same.
func TestOneConnection(t *testing.T) {
	for _, header := range []string{"", "PROXY TCP4 192.0.2.7 192.0.2.1 5000 25\r\n"} {
		g := openGate(t)
		if header != "" {
			g.Balancers = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			nc, err := g.ln.Accept()
			if err == nil {
				g.One(t.Context(), nc)
			}
		}()
		if got := g.says(header + "hello"); !strings.HasSuffix(got, "counted false, said hello") || strings.HasPrefix(got, "192.0.2.7") != (header != "") {
			t.Errorf("%q: %q", header, got)
		}
		<-served
		_ = g.ln.Close()
	}
}

// poor is a listener that lacks descriptors at first.
type poor struct {
	net.Listener
	left int
}

func (p *poor) Accept() (net.Conn, error) {
	if p.left--; p.left >= 0 {
		return nil, errors.New("too many open files")
	}
	return p.Listener.Accept()
}

// A listener that fails for a while goes on afterwards, and is told of once; one that somebody closes ends the door.
func TestAListenerThatFails(t *testing.T) {
	g := openGate(t)
	g.ln = &poor{g.ln, 3}
	g.begin()
	if got := g.says("hello"); !strings.Contains(got, "said hello") {
		t.Errorf("afterwards: %q", got)
	}
	if n := strings.Count(g.logged.String(), "too many open files"); n != 1 {
		t.Errorf("told %d times", n)
	}
	_ = g.ln.Close()
	if err := <-g.ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed by others: %v", err)
	}
}

// What strangers can cause at will is told at once, and then together.
func TestATally(t *testing.T) {
	g, now := openGate(t), time.Unix(1e9, 0)
	_ = g.ln.Close()
	g.Now = func() time.Time { return now }
	for range 5 {
		g.Counted.Refused.Add(g.Entrance, "refused", "who", "x")
	}
	now = now.Add(refusalLogInterval)
	g.Counted.Refused.Add(g.Entrance, "refused")
	if got := g.logged.String(); strings.Count(got, "msg=refused") != 2 || !strings.Contains(got, "count=1") || !strings.Contains(got, "count=5") {
		t.Errorf("told: %s", got)
	}
}

// A door has tickets of its own, which stay while the whole server's configuration does; limits that make no sense are
// refused.
func TestLimitsAreChecked(t *testing.T) {
	if err := DefaultLimits().Check(); err != nil {
		t.Error(err)
	}
	if err := (Limits{}).Check(); err == nil {
		t.Error("no limits at all are taken")
	}
	ours, strangers := DefaultLimits().ForOurs(), DefaultLimits().ForStrangers()
	if ours.Check() != nil || strangers.Check() != nil || ours == strangers {
		t.Errorf("%+v\n%+v", ours, strangers)
	}
	if AddrPort(&net.UnixAddr{}).IsValid() || AddrPort(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9}).String() != "192.0.2.1:9" {
		t.Error("addresses are told otherwise")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	began := time.Now()
	if Pause(ended, time.Hour); time.Since(began) > time.Minute {
		t.Error("it waits beyond the end")
	}
}
