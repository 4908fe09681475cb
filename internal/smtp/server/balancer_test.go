package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/door"
	"sallyport/internal/mail"
)

const behind = "PROXY TCP4 203.0.113.9 192.0.2.1 40000 25"

// recorder is a memory that keeps what is told of each connection.
type recorder struct {
	memory
	connMu sync.Mutex
	conns  []Conn
}

func (r *recorder) Connect(ctx context.Context, c *Conn) (Session, mail.Reply) {
	r.connMu.Lock()
	r.conns = append(r.conns, *c)
	r.connMu.Unlock()
	return r.memory.Connect(ctx, c)
}

func (r *recorder) last(t *testing.T) Conn {
	t.Helper()
	r.connMu.Lock()
	defer r.connMu.Unlock()
	if len(r.conns) == 0 {
		t.Fatal("no connection was told")
	}
	return r.conns[len(r.conns)-1]
}

func balanced(kind Kind) Config {
	cfg := testConfig(kind)
	cfg.Balancers = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	return cfg
}

// serveRecorded runs a server that listens on loopback.
func serveRecorded(t *testing.T, cfg Config) (addr string, r *recorder) {
	t.Helper()
	r = &recorder{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, cfg, r) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr().String(), r
}

// The client is whom the balancer names, and both are told; the balancer alone is it
// when it speaks for itself. K05, K06: whatever the header claims is a claim.
func TestClientBehindBalancer(t *testing.T) {
	for _, row := range []struct{ header, remote string }{
		{behind, "203.0.113.9:40000"},
		{"PROXY TCP6 2001:db8::9 2001:db8::1 7 25", "[2001:db8::9]:7"},
		{"PROXY TCP4 127.0.0.1 127.0.0.1 7 25", "127.0.0.1:7"},
		{"PROXY TCP4 10.1.2.3 10.0.0.1 7 25", "10.1.2.3:7"},
		{"PROXY UNKNOWN", ""},
	} {
		addr, r := serveRecorded(t, balanced(KindMX))
		d := dial(t, addr)
		d.steps("C: " + row.header + "\nS: 220\nC: QUIT\nS: 221")
		c := r.last(t)
		local := d.raw.LocalAddr().String()
		if row.remote == "" {
			if c.Remote.String() != local || c.Balancer.IsValid() {
				t.Errorf("%s: %+v", row.header, c)
			}
			continue
		}
		if c.Remote.String() != row.remote || c.Balancer.String() != local {
			t.Errorf("%s: %+v", row.header, c)
		}
	}
}

// A header cut into segments is one header; what follows it at once is early talk.
func TestHeaderInSegments(t *testing.T) {
	addr, r := serveRecorded(t, balanced(KindMX))
	d := dial(t, addr)
	for _, part := range []string{behind[:3], behind[3:20], behind[20:], "\r", "\n"} {
		if _, err := d.raw.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	d.steps("S: 220\nC: QUIT\nS: 221")
	if c := r.last(t); c.Remote.String() != "203.0.113.9:40000" {
		t.Errorf("%+v", c)
	}
}

// K04, K05: without one proper header nobody is answered; with two, or from anybody
// who is no balancer, it is no SMTP.
func TestHeaderIsRequiredAndBelievedOfBalancersOnly(t *testing.T) {
	early := balanced(KindMX)
	early.Limits.GreetDelay = 200 * time.Millisecond
	stranger := testConfig(KindMX)
	stranger.Balancers = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::1/128")}
	eager := stranger
	eager.Limits.GreetDelay = 200 * time.Millisecond
	silent := balanced(KindMX)
	silent.Limits.ProxyTimeout = 50 * time.Millisecond
	for _, row := range []struct {
		name   string
		cfg    Config
		script string
		want   string // why sessions ended
	}{
		{"no header", balanced(KindMX), "C: EHLO client.test\nS.", ""},
		{"nothing at all", silent, "S.", ""},
		{"v1 too long", balanced(KindMX), "C: PROXY UNKNOWN " + strings.Repeat("x", 100) + "\nS.", ""},
		{"v2 version 3", balanced(KindMX), `C+ "\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x0c0123456789ab"` + "\nS.", ""},
		{"two headers", early, "C: " + behind + "\nC: " + behind + "\nS: 554 5.5.1\nS.", EndEarlyTalker},
		{"two headers, later", balanced(KindMX), "C: " + behind + "\nS: 220\nC: " + behind + "\nS: 500\nS.", EndNotSMTP},
		{"a stranger's, early", eager, "C: " + behind + "\nS: 554 5.5.1\nS.", EndEarlyTalker},
		{"a stranger's", stranger, "S: 220\nC: " + behind + "\nS: 500\nS.", EndNotSMTP},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log bytes.Buffer
			row.cfg.Logger = slog.New(slog.NewTextHandler(&syncWriter{w: &log}, nil))
			told := make(chan Unserved, 10)
			row.cfg.Unserved = func(u Unserved) { told <- u }
			addr, r := serveRecorded(t, row.cfg)
			dial(t, addr).steps(row.script)
			if row.want == "" {
				u := <-told
				if u.Kind != KindMX || !u.Remote.IsLoopback() || u.Rule != door.RuleProxyHeader || !u.Reply.IsZero() || !strings.Contains(u.Why, "PROXY header") {
					t.Errorf("nobody can learn why: %+v", u)
				}
				if r.connMu.Lock(); len(r.conns) > 0 {
					t.Errorf("%+v", r.conns)
				}
				r.connMu.Unlock()
				return
			}
			waitFor(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.ends) == 1 && r.ends[0] == row.want })
		})
	}
}

// syncWriter lets many goroutines write.
type syncWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (s *syncWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// The header comes before the first octet of TLS.
func TestHeaderBeforeImplicitTLS(t *testing.T) {
	cfg, client := withTLS(t, balanced(KindSubmissions))
	addr, r := serveRecorded(t, cfg)
	d := dial(t, addr)
	d.client = client
	if _, err := d.raw.Write([]byte(behind + "\r\n")); err != nil {
		t.Fatal(err)
	}
	d.steps("TLS\nS: 220\nC: EHLO client.test\nS: 250\nC: QUIT\nS: 221")
	if c := r.last(t); c.Remote.String() != "203.0.113.9:40000" || !c.Balancer.IsValid() {
		t.Errorf("%+v", c)
	}
}

// Each client's network is counted behind a balancer, also one that is said to be
// this host, which is not bounded without a balancer.
func TestNetworksAreCountedBehindBalancer(t *testing.T) {
	for _, host := range []string{"203.0.113", "127.0.0"} {
		cfg := balanced(KindMX)
		cfg.Limits.ConnectionsPerNetwork = 2
		cfg.Admission = NewAdmission(door.NewAdmission())
		addr, _ := serveRecorded(t, cfg)
		header := func(host string, i int) string { return fmt.Sprintf("C: PROXY TCP4 %s.%d 192.0.2.1 1 25\n", host, i) }
		var all []*dialogue
		for i := range 2 {
			d := dial(t, addr)
			d.steps(header(host, i+1) + "S: 220")
			all = append(all, d)
		}
		dial(t, addr).steps(header(host, 3) + "S: 421 4.7.0\nS.")
		dial(t, addr).steps(header("198.51.100", 1) + "S: 220\nC: QUIT\nS: 221")
		all[0].steps("C: QUIT\nS: 221\nS.")
		waitFor(t, func() bool { return cfg.Admission.Open() == 1 })
		dial(t, addr).steps(header(host, 4) + "S: 220\nC: QUIT\nS: 221")
		all[1].steps("C: QUIT\nS: 221\nS.")
		waitFor(t, func() bool { return cfg.Admission.Open() == 0 })
	}
}

// A shutdown does not wait for a header that does not come.
func TestShutdownWithoutHeader(t *testing.T) {
	cfg := balanced(KindMX)
	cfg.Limits.ProxyTimeout = time.Minute
	cfg.Admission = NewAdmission(door.NewAdmission())
	addr, stop := serve(t, cfg, &memory{})
	d := dial(t, addr)
	waitFor(t, func() bool { return cfg.Admission.Open() == 1 })
	stop()
	d.steps("S.")
}
