package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"sallyport/internal/door"
	"sallyport/internal/mail"
)

// serve runs a server on a real socket; stop shuts it down and waits for it.
func serve(t *testing.T, cfg Config, m *memory) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, cfg, m) }()
	stopped := false
	stop = func() {
		cancel()
		if stopped {
			return
		}
		stopped = true
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Serve does not return")
		}
	}
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

func dial(t *testing.T, addr string) *dialogue {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &dialogue{t: t, raw: nc, nc: nc, br: bufio.NewReader(nc)}
}

func (d *dialogue) steps(transcript string) {
	d.t.Helper()
	for line := range strings.Lines(transcript) {
		if line = strings.Trim(line, "\t\n"); line != "" {
			d.step(line)
		}
	}
	d.send()
}

// Pipelined replies go out together, but never later than the server waits.
func TestRepliesAreBatched(t *testing.T) {
	m := &memory{}
	c := &countingConn{tape: tape{cut: func() int { return 0 }, in: []byte(
		"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<bob@local.test>\r\nRCPT TO:<carol@local.test>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")}}
	ServeConn(context.Background(), c, testConfig(KindMX), m)
	if got := strings.Join(codes(c.out), " "); got != "220 250 250 250 250 354 250 221" || c.writes > 3 {
		t.Errorf("%s in %d writes", got, c.writes)
	}
	c = &countingConn{tape: tape{cut: func() int { return 0 }, in: []byte(strings.Repeat("HELP\r\n", 20000))}}
	cfg := testConfig(KindMX)
	cfg.Limits.Junk = 1 << 30
	ServeConn(context.Background(), c, cfg, &memory{})
	if c.largest > cfg.Limits.ReplyOctets+1000 || len(codes(c.out)) != 20001 {
		t.Errorf("replies of %d octets were gathered; %d in all", c.largest, len(codes(c.out)))
	}
}

type countingConn struct {
	tape
	writes, largest int
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes++
	c.largest = max(c.largest, len(p))
	return c.tape.Write(p)
}

// D23: who speaks before the greeting is refused, and nothing of it is executed.
func TestEarlyTalker(t *testing.T) {
	cfg := testConfig(KindMX)
	cfg.Limits.GreetDelay = 200 * time.Millisecond
	m := &memory{}
	d := connect(t, cfg, nil, m)
	d.run("C: EHLO x\nC: MAIL FROM:<a@remote.test>\nC: RCPT TO:<bob@local.test>\nC: DATA\nS: 554 5.5.1\nS.")
	waitFor(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.ends) == 1 })
	if m.ends[0] != EndEarlyTalker || strings.Join(m.refused, ",") != "EHLO (1 octets) -> 554 5.5.1" || len(m.hellos) > 0 {
		t.Errorf("%v %v %v", m.ends, m.refused, m.hellos)
	}
	play(t, cfg, nil, &memory{}, hello) // the patient are greeted
}

func TestBackendRefusesConnection(t *testing.T) {
	for _, tt := range []struct {
		r    mail.Reply
		want string
	}{
		{mail.R(554, "5.7.1", "not you"), "554 5.7.1 not you"},
		{mail.R(421, "4.7.0", "later"), "421 4.7.0 later"},
		{mail.R(334, "", "what"), "451 4.3.0"},
	} {
		play(t, testConfig(KindMX), nil, &memory{greeting: tt.r}, "S: "+tt.want+"\nS.")
	}
}

func TestGreetingWithNotice(t *testing.T) {
	cfg := testConfig(KindMX)
	cfg.Notice = "no spam"
	play(t, cfg, nil, &memory{}, "S: 220 mx.local.test ESMTP no spam")
}

// At shutdown whoever waits is told; a message in progress may still end, and is
// the last.
func TestShutdown(t *testing.T) {
	reading := make(chan struct{}, 2)
	m := &memory{reading: reading}
	addr, stop := serve(t, testConfig(KindMX), m)
	idle, busy, chunks := dial(t, addr), dial(t, addr), dial(t, addr)
	idle.steps(hello)
	busy.steps(toBob + "C: DATA\nS: 354\nC: half")
	chunks.steps(toBob + `C+ "BDAT 5\r\nabc\r\n"` + "\nS: 250")
	<-reading
	<-reading
	finished := make(chan struct{})
	go func() { stop(); close(finished) }()
	idle.run("S: 421 4.3.2\nS.")
	// No command behind the message: its session may not have been told yet, and would answer that.
	busy.run("C: other half\nC: .\nS: 250 2.0.0 queued\nS: 421 4.3.2\nS.")
	chunks.run(`C+ "BDAT 5 LAST\r\ndef\r\n"` + "\nS: 250 2.0.0 queued\nS: 421 4.3.2\nS.")
	<-finished
	if nc, err := net.Dial("tcp", addr); err == nil {
		nc.Close()
		t.Error("the listener is still open")
	}
	m.check(t, 3)
	if len(m.snapshot()) != 2 {
		t.Errorf("%q", m.delivered())
	}
}

// A message that never ends does not keep the server from ending.
func TestShutdownGrace(t *testing.T) {
	reading := make(chan struct{}, 1)
	m := &memory{reading: reading}
	cfg := testConfig(KindMX)
	cfg.Limits.ShutdownGrace = 100 * time.Millisecond
	addr, stop := serve(t, cfg, m)
	d := dial(t, addr)
	d.steps(toBob + "C: DATA\nS: 354\nC: half")
	<-reading
	start := time.Now()
	stop()
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	if m.check(t, 1); len(m.snapshot()) > 0 {
		t.Error("half a message was delivered")
	}
}

// Pipelined commands that are here already don't outlive a shutdown.
func TestShutdownStopsPipelinedCommands(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	m := &memory{}
	cfg := testConfig(KindMX)
	cfg.Limits.Junk = 1 << 30
	c := &tape{cut: func() int { cancel(); return 0 }, in: []byte(strings.Repeat("NOOP\r\n", 1<<20))}
	ServeConn(ctx, c, cfg, m)
	all := codes(c.out)
	if last := all[len(all)-1]; last != "421" || len(all) > 1<<19 {
		t.Errorf("%d replies, the last is %s", len(all), last)
	}
}

func TestTooManyConnections(t *testing.T) {
	cfg := testConfig(KindMX)
	cfg.Limits.Connections = 2
	told := make(chan Unserved, 100)
	cfg.Unserved = func(u Unserved) { told <- u }
	m := &memory{}
	addr, _ := serve(t, cfg, m)
	first, second := dial(t, addr), dial(t, addr)
	first.steps(hello)
	second.steps(hello)
	third := dial(t, addr)
	third.steps("S: 421 4.7.0\nS.")
	if u := <-told; u.Kind != KindMX || !u.Remote.IsLoopback() || u.Rule != door.RuleConnectionsCrowded || u.Reply != tooMany() {
		t.Errorf("nobody can learn why: %+v", u)
	}
	first.run("")
	waitFor(t, func() bool {
		d := dial(t, addr)
		_ = d.raw.SetDeadline(time.Now().Add(5 * time.Second))
		line, _ := d.br.ReadString('\n')
		return strings.HasPrefix(line, "220")
	})
}

// Who fails at the TLS that comes first has no session that could tell of it.
func TestFailedTLSIsTold(t *testing.T) {
	cfg, _ := withTLS(t, testConfig(KindSubmissions))
	told := make(chan Unserved, 1)
	cfg.Unserved = func(u Unserved) { told <- u }
	addr, _ := serve(t, cfg, &memory{})
	old := tls.Client(dial(t, addr).raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err := old.Handshake(); err == nil {
		t.Error("TLS 1.1 will do")
	}
	if u := <-told; u.Kind != KindSubmissions || u.Conn == "" || !u.Remote.IsLoopback() || u.Rule != "" || u.Why != EndTLS+": "+door.CauseVersion {
		t.Errorf("nobody can learn why: %+v", u)
	}
}

// Who fails at the TLS that he asked for has a session, which is told at what.
func TestFailedSTARTTLSIsTold(t *testing.T) {
	for name, c := range map[string]struct{ says, want string }{
		"no TLS":        {"C: MAIL FROM:<alice@local.test>", door.CauseNoTLS},
		"the other end": {"CLOSE\nS.", door.CauseLeft},
	} {
		cfg, client := withTLS(t, testConfig(KindSubmission))
		m := &memory{}
		addr, _ := serve(t, cfg, m)
		d := dial(t, addr)
		d.client = client
		d.steps(clearHello + "C: STARTTLS\nS: 220\n" + c.says)
		waitFor(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.ends) == 1 })
		if m.mu.Lock(); m.ends[0] != EndTLS+": "+c.want {
			t.Errorf("%s: %q", name, m.ends)
		}
		m.mu.Unlock()
	}
	// A silent one takes its time.
	cfg, _ := withTLS(t, testConfig(KindSubmission))
	cfg.Limits.HandshakeTimeout = 50 * time.Millisecond
	m := &memory{}
	addr, _ := serve(t, cfg, m)
	dial(t, addr).steps(clearHello + "C: STARTTLS\nS: 220\nS.")
	waitFor(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.ends) == 1 })
	if m.mu.Lock(); m.ends[0] != EndTLS+": "+door.CauseTimeout {
		t.Errorf("%q", m.ends)
	}
	m.mu.Unlock()
}

// An engine that was told too little does not run.
func TestUnfitConfigurations(t *testing.T) {
	good := testConfig(KindMX)
	for name, spoil := range map[string]func(*Config){
		"kind":     func(c *Config) { c.Kind = KindUnknown },
		"far kind": func(c *Config) { c.Kind = 99 },
		"host":     func(c *Config) { c.Hostname = mail.Domain{} },
		"tls":      func(c *Config) { c.Kind = KindSubmissions },
		"clock":    func(c *Config) { c.Now = nil },
		"logger":   func(c *Config) { c.Logger = nil },
		"limits":   func(c *Config) { c.Limits = Limits{} },
		"one":      func(c *Config) { c.Limits.Recipients = 0 },
		"negative": func(c *Config) { c.Limits.GreetDelay = -1 },
	} {
		cfg := good
		spoil(&cfg)
		if err := Serve(context.Background(), nil, cfg, &memory{}); err == nil {
			t.Errorf("%s: served", name)
		}
		c := &tape{cut: func() int { return 0 }, in: []byte("NOOP\r\n")}
		if ServeConn(context.Background(), c, cfg, &memory{}); !c.shut || len(c.out) > 0 {
			t.Errorf("%s: answered %q", name, c.out)
		}
	}
	if err := good.check(&memory{}); err != nil {
		t.Error(err)
	}
	if DefaultLimits().check() != nil {
		t.Error("the defaults are unfit")
	}
}

// A listener's error is waited out; its end is reported.
func TestListenerErrors(t *testing.T) {
	ln := &failingListener{errs: []error{errors.New("out of descriptors"), errors.New("again"), net.ErrClosed}}
	if err := Serve(context.Background(), ln, testConfig(KindMX), &memory{}); !errors.Is(err, net.ErrClosed) || len(ln.errs) > 0 {
		t.Errorf("%v, %d left", err, len(ln.errs))
	}
}

type failingListener struct{ errs []error }

func (l *failingListener) Accept() (net.Conn, error) {
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, err
}
func (l *failingListener) Close() error   { return nil }
func (l *failingListener) Addr() net.Addr { return &net.TCPAddr{} }

// Sessions leave no goroutines, and idle ones hold little.
func TestIdleConnectionsAreSmall(t *testing.T) {
	const n = 300
	before := runtime.NumGoroutine()
	addr, stop := serve(t, testConfig(KindMX), &memory{})
	var start, end runtime.MemStats
	warm := dial(t, addr)
	warm.steps(toBob + "C: DATA\nS: 354\nC: .\nS: 250")
	runtime.GC()
	runtime.ReadMemStats(&start)
	conns := make([]net.Conn, n)
	for i := range conns {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = nc
		if _, err := io.ReadAtLeast(nc, make([]byte, 100), 4); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(nc, "EHLO x\r\n")
		if _, err := io.ReadAtLeast(nc, make([]byte, 1000), 4); err != nil {
			t.Fatal(err)
		}
	}
	// The goroutines on which they spoke are kept for a moment.
	waitFor(t, func() bool { return resters() >= n && runtime.NumGoroutine() <= before+n+20 })
	runtime.GC()
	runtime.ReadMemStats(&end)
	each := (int64(end.HeapAlloc+end.StackInuse) - int64(start.HeapAlloc+start.StackInuse)) / n
	t.Logf("%d octets for each idle connection, both ends", each)
	if each > idleOctets {
		t.Errorf("an idle connection holds %d octets", each)
	}
	for _, nc := range conns {
		nc.Close()
	}
	stop()
	waitFor(t, func() bool { return runtime.NumGoroutine() <= before+2 })
}

// resters is how many connections rest in this process.
func resters() int {
	stacks := make([]byte, 8<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "door.Socket.Await(")
}

func TestKindNames(t *testing.T) {
	if s := fmt.Sprint(KindUnknown, KindMX, KindSubmission, KindSubmissions); s != "unknown mx submission submissions" {
		t.Error(s)
	}
}

// A backend that breaks the contract gets nothing accepted.
func TestBackendsThatBreakTheContract(t *testing.T) {
	const in = "EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<bob@local.test>\r\nDATA\r\n"
	for name, tt := range map[string]struct {
		b    *rogue
		want string
	}{
		"greets without a session":        {&rogue{greeting: mail.R(220, "", "")}, "451"},
		"refuses with a session":          {&rogue{sess: true, greeting: mail.R(554, "5.7.1", "no")}, "554"},
		"accepts without a transaction":   {&rogue{sess: true, greeting: mail.R(220, "", ""), mail: mail.R(250, "2.1.0", "ok")}, "220 250 451 503 503"},
		"refuses with a transaction":      {&rogue{sess: true, greeting: mail.R(220, "", ""), tx: true, mail: mail.R(550, "5.7.1", "no")}, "220 250 550 503 503"},
		"says nothing to a hello":         {&rogue{sess: true, greeting: mail.R(220, "", ""), mute: true}, "220 451 503 503 503"},
		"answers MAIL with a 3xx":         {&rogue{sess: true, greeting: mail.R(220, "", ""), mail: mail.R(354, "", "go")}, "220 250 451 503 503"},
		"closes by 421 in answer to MAIL": {&rogue{sess: true, greeting: mail.R(220, "", ""), mail: mail.R(421, "4.7.0", "bye")}, "220 250 421"},
	} {
		c := &tape{cut: whole, in: []byte(in)}
		ServeConn(context.Background(), c, testConfig(KindMX), tt.b)
		if got := strings.Join(codes(c.out), " "); got != tt.want {
			t.Errorf("%s: %s; want %s", name, got, tt.want)
		}
		if tt.b.sess && tt.b.closed != 1 || tt.b.tx && tt.b.aborted != 1 {
			t.Errorf("%s: closed %d times, aborted %d times", name, tt.b.closed, tt.b.aborted)
		}
	}
}

// rogue answers as it is told, in and out of the contract.
type rogue struct {
	memSession
	sess, tx, mute  bool
	greeting, mail  mail.Reply
	closed, aborted int
}

func (r *rogue) Connect(context.Context, *Conn) (Session, mail.Reply) {
	if !r.sess {
		return nil, r.greeting
	}
	return r, r.greeting
}

func (r *rogue) Hello(context.Context, Hello) mail.Reply {
	if r.mute {
		return mail.Reply{}
	}
	return mail.R(250, "", "")
}

func (r *rogue) Mail(context.Context, mail.Envelope) (Transaction, mail.Reply) {
	if !r.tx {
		return nil, r.mail
	}
	return &rogueTx{r: r}, r.mail
}

func (r *rogue) Refused(context.Context, string, mail.Reply) {}
func (r *rogue) Close(context.Context, string)               { r.closed++ }

type rogueTx struct {
	memTx
	r *rogue
}

func (x *rogueTx) Abort(context.Context) { x.r.aborted++ }
