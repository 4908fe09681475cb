package named

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/test/port"
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
	p := place(h.port)
	p.Limits.Messages = 4
	target := reach(t, p, means(t))
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
	p := place(h.port)
	p.Limits.Start, p.Limits.Connections = 2, 6
	target := reach(t, p, means(t))
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
	p := place(h.port)
	p.Limits.Idle = 30 * time.Millisecond
	target := reach(t, p, means(t))
	target.Deliver(t.Context(), job(t, "a@x.test"))
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if target.deliveries.Use().Kept == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the connection is kept for ever")
		}
	}
}

func TestClosedRouteKeepsNothing(t *testing.T) {
	h := newHop(t, nil)
	target := reach(t, place(h.port), means(t))
	target.Deliver(t.Context(), job(t, "a@x.test"))
	check(t, target.Close())
	j := job(t, "a@x.test")
	expect(t, j, target.Deliver(t.Context(), j), "250")
	if target.deliveries.Use().Kept != 0 {
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
			target := reach(t, place(port), means(t))
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
	target := reach(t, place(port), means(t))
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
	expect(t, j, reach(t, place(port), means(t)).Deliver(t.Context(), j), "451 451")
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
	target := reach(t, place(h.port), means(t))
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

// A next hop that says "too many recipients" to each of them is not asked for ever; nor is one
// whose 452 says nothing of recipients.
func TestTooManyWithoutProgress(t *testing.T) {
	for _, refusal := range []string{"452 4.5.3 many", "452 no room"} {
		port := raw(t, func(n int, nc net.Conn) {
			say(nc, "250-mx\r\n250 PIPELINING\r\n", "250 ok\r\n"+refusal+"\r\n"+refusal+"\r\n503 no\r\n")
			io.Copy(io.Discard, nc)
		})
		j, target := job(t, "a@x.test", "b@x.test"), reach(t, place(port), means(t))
		expect(t, j, target.Deliver(t.Context(), j), "452 452")
		check(t, target.Close())
	}
}

// One that gives no enhanced codes takes so many recipients, and puts off the others by 452 alone: they
// get theirs at once, in transactions of their own.
func TestTooManyWithoutACode(t *testing.T) {
	port := raw(t, func(n int, nc net.Conn) {
		say(nc, "250-mx\r\n250 PIPELINING\r\n",
			"250 ok\r\n250 ok\r\n452 too many\r\n452 too many\r\n354 go\r\n", "250 ok\r\n",
			"250 ok\r\n250 ok\r\n452 too many\r\n354 go\r\n", "250 ok\r\n",
			"250 ok\r\n452 no room\r\n503 no\r\n")
		io.Copy(io.Discard, nc)
	})
	j, target := job(t, "a@x.test", "b@x.test", "c@x.test"), reach(t, place(port), means(t))
	expect(t, j, target.Deliver(t.Context(), j), "250 250 452")
	check(t, target.Close())
}

func TestDeadNextHop(t *testing.T) {
	port := uint16(port.Of(t, "127.0.0.1"))
	j := job(t, "a@x.test", "b@x.test")
	out := reach(t, place(port), means(t)).Deliver(t.Context(), j)
	expect(t, j, out, "451 451")
	if r := out[0]; r.Reply.Enhanced.String() != "4.4.1" || r.Remote != fmt.Sprintf("127.0.0.1:%d", port) || !strings.Contains(r.Reply.Text, "refused") {
		t.Errorf("%+v", r)
	}
}

func TestUnknownHost(t *testing.T) {
	m := means(t)
	m.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}
	}
	j := job(t, "a@x.test")
	if out := reach(t, place(25), m).Deliver(t.Context(), j); out[0].Reply.Enhanced.String() != "4.4.3" {
		t.Errorf("%v", out)
	}
}

// While a next hop that does not answer is being found out about, others wait; then
// all of them are deferred at once, and for a while nobody else tries.
func TestSilentNextHopDelaysNobodyTwice(t *testing.T) {
	var dials atomic.Int64
	p, m := place(25), means(t)
	p.Limits.Connect = 150 * time.Millisecond
	m.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		dials.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	target := reach(t, p, m)
	started := time.Now()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			j := job(t, "a@x.test")
			expect(t, j, target.Deliver(t.Context(), j), "451")
		})
	}
	wg.Wait()
	if n := dials.Load(); n > int64(p.Limits.Start) || time.Since(started) > 10*time.Second { // one after the other they would take 15 s
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
	server, ca := authority(t)
	_, strangers := authority(t)
	for name, row := range map[string]struct {
		spoil func(*Place)
		want  string
	}{
		"good":                      {func(*Place) {}, "250 "},
		"certificate of a stranger": {func(p *Place) { p.CA = strangers }, "451 4.4.2"},
		"wrong password":            {func(p *Place) { p.PasswordFile = file(t, "wrong\n") }, "451 4.4.0"},
		"unreadable password":       {func(p *Place) { p.PasswordFile = "/etc/secret/of/nobody" }, "454 4.7.0"},
		"no password":               {func(p *Place) { p.PasswordFile = file(t, "") }, "451 4.4.2"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHop(t, server)
			p := place(h.port)
			p.TLS, p.CA, p.User, p.PasswordFile = mail.TLSRequired, ca, "user", file(t, "secret\r\n")
			row.spoil(&p)
			j := job(t, "a@x.test")
			out := reach(t, p, means(t)).Deliver(t.Context(), j)
			if r := out[0].Reply.String(); !strings.HasPrefix(r, row.want) || strings.Contains(r, "/etc") || strings.Contains(r, "secret") {
				t.Errorf("%v", out)
			}
			if (out[0].TLS != "") != out[0].Delivered() {
				t.Errorf("TLS is %q", out[0].TLS)
			}
		})
	}
}

// A changed password is read for the next connection.
func TestThePasswordIsReadForEachConnection(t *testing.T) {
	server, ca := authority(t)
	h := newHop(t, server)
	p := place(h.port)
	p.TLS, p.CA, p.User, p.PasswordFile, p.Limits.Rest = mail.TLSRequired, ca, "user", file(t, "wrong"), time.Nanosecond
	target := reach(t, p, means(t))
	j := job(t, "a@x.test")
	expect(t, j, target.Deliver(t.Context(), j), "451")
	check(t, os.WriteFile(p.PasswordFile, []byte("secret"), 0o600))
	expect(t, j, target.Deliver(t.Context(), j), "250")
}

// Opportunistic TLS that does not work is done without; required TLS is not.
func TestOpportunisticTLSFallsBack(t *testing.T) {
	for mode, want := range map[mail.TLSMode]string{mail.TLSOpportunistic: "250", mail.TLSRequired: "451"} {
		port := raw(t, func(n int, nc net.Conn) {
			if n == 1 {
				say(nc, "250-mx\r\n250 STARTTLS\r\n", "220 go\r\n", "this is no handshake\r\n")
				return
			}
			say(nc, append([]string{"250-mx\r\n250-STARTTLS\r\n250 PIPELINING\r\n"}, transcript(1)[1:]...)...)
		})
		p := place(port)
		p.TLS = mode
		j := job(t, "a@x.test")
		expect(t, j, reach(t, p, means(t)).Deliver(t.Context(), j), want)
	}
}

func TestUnreadableMessageKeepsTheConnection(t *testing.T) {
	h := newHop(t, nil)
	target := reach(t, place(h.port), means(t))
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
	p := place(port)
	p.Limits.Start, p.Limits.Connections = 1, 1
	target := reach(t, p, means(t))
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
	if use := target.deliveries.Use(); use.Active != 0 || use.Waiting != 0 {
		t.Errorf("%+v", use)
	}
}

func TestIncompleteOptionsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Place, *Means){
		"no network":        func(p *Place, _ *Means) { p.Network = "udp" },
		"no address":        func(p *Place, _ *Means) { p.Address = "" },
		"no host":           func(p *Place, _ *Means) { p.Host = "" },
		"TLS undecided":     func(p *Place, _ *Means) { p.TLS = mail.TLSUndecided },
		"TLS unknown":       func(p *Place, _ *Means) { p.TLS = mail.TLSImplicit + 1 },
		"no limits":         func(p *Place, _ *Means) { p.Limits = Limits{} },
		"no rest":           func(p *Place, _ *Means) { p.Limits.Rest = 0 },
		"fewer than none":   func(p *Place, _ *Means) { p.Limits.Questions = -1 },
		"password in clear": func(p *Place, _ *Means) { p.User, p.PasswordFile = "user", "/file" },
		"password at will":  func(p *Place, _ *Means) { p.TLS, p.User = mail.TLSOpportunistic, "user" },
		"no authorities":    func(p *Place, _ *Means) { p.CA = "/no/such/file" },
		"empty authorities": func(p *Place, _ *Means) { p.CA = file(t, "nothing") },
		"no name":           func(_ *Place, m *Means) { m.Hello = mail.Domain{} },
		"no dialer":         func(_ *Place, m *Means) { m.Dial = nil },
		"no clock":          func(_ *Place, m *Means) { m.Now = nil },
		"no logger":         func(_ *Place, m *Means) { m.Logger = nil },
	} {
		p, m := place(25), means(t)
		if target, err := New(p, m); target == nil || err != nil {
			t.Fatal(err)
		}
		spoil(&p, &m)
		target, err := New(p, m)
		if target != nil || err == nil || errors.Is(err, ErrAuthorities) != (p.CA != "") {
			t.Errorf("taken: %s, %v", name, err)
		}
	}
}

// A route is not asked: questions are for servers of ours.
func TestARouteIsNotAsked(t *testing.T) {
	h := newHop(t, nil)
	r, _, err := reach(t, place(h.port), means(t)).Ask(t.Context(), job(t, "a@x.test").Recipients[0].Address)
	if err == nil || !r.IsZero() || h.connections.Load() > 0 {
		t.Errorf("%v, %v", r, err)
	}
}
