package named

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/smtp/client"
)

// expect checks that there is one outcome for each recipient, in their order, and
// returns their codes.
func expect(t *testing.T, j nexthop.Job, out []mail.Outcome, codes string) {
	t.Helper()
	var got []string
	for i, o := range out {
		got = append(got, fmt.Sprint(o.Reply.Code))
		if i >= len(j.Recipients) || o.Recipient != j.Recipients[i].Address || o.Remote == "" {
			t.Errorf("outcome %d is %+v", i, o)
		}
	}
	if len(out) != len(j.Recipients) || strings.Join(got, " ") != codes {
		t.Errorf("outcomes %v, want %s: %v", got, codes, out)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	h := newHop(t, nil)
	o := options(t, h.port)
	o.Limits.Messages = 4
	target := newTarget(t, o)
	for range 12 {
		j := job(t, "a@x.test", "nobody@x.test")
		expect(t, j, target.Deliver(t.Context(), j), "250 550")
	}
	if n := h.connections.Load(); n != 3 {
		t.Errorf("12 messages, at most 4 on a connection, took %d connections", n)
	}
	if h.took["a@x.test"] != 12 {
		t.Errorf("%v", h.took)
	}
}

// Many deliveries at once: never more connections than allowed, each message once.
func TestConcurrencyIsBounded(t *testing.T) {
	h := newHop(t, nil)
	h.hold = 5 * time.Millisecond
	o := options(t, h.port)
	o.Limits.Start, o.Limits.Connections = 2, 6
	target := newTarget(t, o)
	var wg sync.WaitGroup
	for i := range 120 {
		wg.Go(func() {
			j := job(t, fmt.Sprintf("user%d@x.test", i))
			expect(t, j, target.Deliver(t.Context(), j), "250")
		})
	}
	wg.Wait()
	if h.most.Load() > 6 || h.connections.Load() > 6 || h.most.Load() < 3 {
		t.Errorf("%d messages at once, %d connections", h.most.Load(), h.connections.Load())
	}
	for i := range 120 {
		if n := h.took[fmt.Sprintf("user%d@x.test", i)]; n != 1 {
			t.Errorf("message %d arrived %d times", i, n)
		}
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	h := newHop(t, nil)
	o := options(t, h.port)
	o.Limits.Idle = 30 * time.Millisecond
	target := newTarget(t, o)
	target.Deliver(t.Context(), job(t, "a@x.test"))
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if target.hop.Use().Kept == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the connection is kept for ever")
		}
	}
}

func TestClosedRouteKeepsNothing(t *testing.T) {
	h := newHop(t, nil)
	target := newTarget(t, options(t, h.port))
	target.Deliver(t.Context(), job(t, "a@x.test"))
	check(t, target.Close())
	j := job(t, "a@x.test")
	expect(t, j, target.Deliver(t.Context(), j), "250")
	if target.hop.Use().Kept != 0 {
		t.Error("a connection is kept after Close")
	}
}

// A next hop that closes kept connections, at once or at the next MAIL, costs no
// message its attempt.
func TestStaleConnectionIsReplaced(t *testing.T) {
	for name, last := range map[string]string{"closed at MAIL": "", "421 at MAIL": "421 4.4.2 idle too long\r\n"} {
		t.Run(name, func(t *testing.T) {
			var served atomic.Int64
			port := raw(t, func(n int, nc net.Conn) {
				served.Store(int64(n))
				say(nc, append(transcript(1), last)...)
			})
			target := newTarget(t, options(t, port))
			for range 3 {
				j := job(t, "a@x.test")
				expect(t, j, target.Deliver(t.Context(), j), "250")
			}
			if served.Load() != 3 {
				t.Errorf("%d connections", served.Load())
			}
		})
	}
}

// Once part of a message was sent it is not sent again in the same attempt: the
// next hop may have taken it.
func TestMessageIsNotRepeatedWithinAnAttempt(t *testing.T) {
	var served atomic.Int64
	port := raw(t, func(n int, nc net.Conn) {
		served.Store(int64(n))
		say(nc, append(transcript(1), "250 ok\r\n250 ok\r\n354 go\r\n")...)
		nc.Read(make([]byte, 4096))
	})
	target := newTarget(t, options(t, port))
	for _, want := range []string{"250", "451"} {
		j := job(t, "a@x.test")
		expect(t, j, target.Deliver(t.Context(), j), want)
	}
	if served.Load() != 1 {
		t.Errorf("%d connections", served.Load())
	}
}

// A fresh connection that dies before MAIL's reply is not tried again and again.
func TestFreshConnectionIsTriedOnce(t *testing.T) {
	var served atomic.Int64
	port := raw(t, func(n int, nc net.Conn) {
		served.Store(int64(n))
		say(nc, "250 mx\r\n")
		nc.Read(make([]byte, 4096))
	})
	j := job(t, "a@x.test", "b@x.test")
	expect(t, j, newTarget(t, options(t, port)).Deliver(t.Context(), j), "451 451")
	if served.Load() != 1 {
		t.Errorf("%d connections", served.Load())
	}
}

func TestMoreRecipientsThanATransactionTakes(t *testing.T) {
	h := newHop(t, nil)
	h.server.MaxRecipients = 10
	var to []string
	for i := range 35 {
		to = append(to, fmt.Sprintf("user%d@x.test", i))
	}
	target := newTarget(t, options(t, h.port))
	j := job(t, to...)
	expect(t, j, target.Deliver(t.Context(), j), strings.TrimSpace(strings.Repeat("250 ", 35)))
	for _, a := range to {
		if h.took[a] != 1 {
			t.Errorf("%s got %d copies", a, h.took[a])
		}
	}
	if h.connections.Load() != 1 {
		t.Errorf("%d connections", h.connections.Load())
	}
}

// A next hop that says "too many recipients" to each of them is not asked for ever.
func TestTooManyWithoutProgress(t *testing.T) {
	port := raw(t, func(n int, nc net.Conn) {
		say(nc, "250-mx\r\n250 PIPELINING\r\n", "250 ok\r\n452 4.5.3 many\r\n452 4.5.3 many\r\n503 no\r\n")
		io.Copy(io.Discard, nc)
	})
	j := job(t, "a@x.test", "b@x.test")
	expect(t, j, newTarget(t, options(t, port)).Deliver(t.Context(), j), "452 452")
}

func TestDeadNextHop(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	port := netip.MustParseAddrPort(ln.Addr().String()).Port()
	check(t, ln.Close())
	j := job(t, "a@x.test", "b@x.test")
	out := newTarget(t, options(t, port)).Deliver(t.Context(), j)
	expect(t, j, out, "451 451")
	if r := out[0]; r.Reply.Enhanced.String() != "4.4.1" || r.Remote != fmt.Sprintf("127.0.0.1:%d", port) || !strings.Contains(r.Reply.Text, "refused") {
		t.Errorf("%+v", r)
	}
}

func TestUnknownHost(t *testing.T) {
	o := options(t, 25)
	o.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}
	}
	j := job(t, "a@x.test")
	if out := newTarget(t, o).Deliver(t.Context(), j); out[0].Reply.Enhanced.String() != "4.4.3" {
		t.Errorf("%v", out)
	}
}

// While a next hop that does not answer is being found out about, others wait; then
// all of them are deferred at once, and for a while nobody else tries.
func TestSilentNextHopDelaysNobodyTwice(t *testing.T) {
	var dials atomic.Int64
	o := options(t, 25)
	o.Limits.Connect = 150 * time.Millisecond
	o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		dials.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	target := newTarget(t, o)
	started := time.Now()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			j := job(t, "a@x.test")
			expect(t, j, target.Deliver(t.Context(), j), "451")
		})
	}
	wg.Wait()
	if n := dials.Load(); n > int64(o.Limits.Start) || time.Since(started) > 10*time.Second { // one after the other they would take 15 s
		t.Errorf("%d attempts, %v", n, time.Since(started))
	}
	// It rests as long as finding out took, which a busy machine stretches.
	before := dials.Load()
	for end := time.Now().Add(20 * time.Second); dials.Load() == before && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		target.Deliver(t.Context(), job(t, "a@x.test"))
	}
	if n := dials.Load() - before; n != 1 {
		t.Errorf("after its rest the next hop was tried %d times", n)
	}
}

// Faults of the route never cost a message.
func TestFaultsOfTheRouteDefer(t *testing.T) {
	server, roots := authority(t)
	_, strangers := authority(t)
	for name, row := range map[string]struct {
		spoil func(*Options)
		want  string
	}{
		"good":                      {func(*Options) {}, "250 "},
		"certificate of a stranger": {func(o *Options) { o.Roots = strangers }, "451 4.4.2"},
		"wrong password": {func(o *Options) {
			o.Credentials = func() (client.Credentials, error) { return client.Credentials{User: "user", Password: "wrong"}, nil }
		}, "451 4.4.0"},
		"unreadable password": {func(o *Options) {
			o.Credentials = func() (client.Credentials, error) {
				return client.Credentials{}, errors.New("open /etc/secret: permission denied")
			}
		}, "454 4.7.0"},
		"no password": {func(o *Options) {
			o.Credentials = func() (client.Credentials, error) { return client.Credentials{}, nil }
		}, "451 4.4.2"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHop(t, server)
			o := options(t, h.port)
			o.TLS, o.Roots = client.TLSRequired, roots
			o.Credentials = func() (client.Credentials, error) { return client.Credentials{User: "user", Password: "secret"}, nil }
			row.spoil(&o)
			j := job(t, "a@x.test")
			out := newTarget(t, o).Deliver(t.Context(), j)
			if r := out[0].Reply.String(); !strings.HasPrefix(r, row.want) || strings.Contains(r, "/etc") || strings.Contains(r, "secret") {
				t.Errorf("%v", out)
			}
			if (out[0].TLS != "") != out[0].Delivered() {
				t.Errorf("TLS is %q", out[0].TLS)
			}
		})
	}
}

// Opportunistic TLS that does not work is done without; required TLS is not.
func TestOpportunisticTLSFallsBack(t *testing.T) {
	for mode, want := range map[client.TLSMode]string{client.TLSOpportunistic: "250", client.TLSRequired: "451"} {
		port := raw(t, func(n int, nc net.Conn) {
			if n == 1 {
				say(nc, "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n", "this is no handshake\r\n")
				return
			}
			say(nc, append([]string{"250-mx\r\n250-STARTTLS\r\n250 PIPELINING\r\n"}, transcript(1)[1:]...)...)
		})
		o := options(t, port)
		o.TLS = mode
		j := job(t, "a@x.test")
		expect(t, j, newTarget(t, o).Deliver(t.Context(), j), want)
	}
}

func TestUnreadableMessageKeepsTheConnection(t *testing.T) {
	h := newHop(t, nil)
	target := newTarget(t, options(t, h.port))
	bad := job(t, "a@x.test", "b@x.test")
	bad.Open = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
	expect(t, bad, target.Deliver(t.Context(), bad), "451 451")
	good := job(t, "a@x.test")
	expect(t, good, target.Deliver(t.Context(), good), "250")
	if h.connections.Load() != 1 {
		t.Errorf("%d connections", h.connections.Load())
	}
}

func TestInterruptedDelivery(t *testing.T) {
	port := raw(t, func(n int, nc net.Conn) { io.Copy(io.Discard, nc) })
	o := options(t, port)
	o.Limits.Start, o.Limits.Connections = 1, 1
	target := newTarget(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for range 5 { // one speaks, the others stand in line
		wg.Go(func() {
			j := job(t, "a@x.test")
			out := target.Deliver(ctx, j)
			expect(t, j, out, "451")
			if out[0].Reply.Enhanced.String() != "4.3.2" {
				t.Errorf("%v", out)
			}
		})
	}
	wg.Wait()
	if use := target.hop.Use(); use.Active != 0 || use.Waiting != 0 {
		t.Errorf("%+v", use)
	}
}

func TestIncompleteOptionsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Options){
		"no host":       func(o *Options) { o.Host = "" },
		"no port":       func(o *Options) { o.Port = 0 },
		"no name":       func(o *Options) { o.Hello = mail.Domain{} },
		"no dialer":     func(o *Options) { o.Dial = nil },
		"no clock":      func(o *Options) { o.Now = nil },
		"no logger":     func(o *Options) { o.Logger = nil },
		"no limits":     func(o *Options) { o.Limits = Limits{} },
		"TLS undecided": func(o *Options) { o.TLS = client.TLSUndecided },
		"password in clear": func(o *Options) {
			o.Credentials = func() (client.Credentials, error) { return client.Credentials{}, nil }
		},
	} {
		o := options(t, 25)
		spoil(&o)
		if target, err := New(o); target != nil || err == nil {
			t.Errorf("taken: %s", name)
		}
	}
}
