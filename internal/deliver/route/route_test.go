package route

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"sallyport/internal/deliver"
	"sallyport/internal/mail"
	"sallyport/internal/smtpc"
)

const letter = "Subject: x\r\n\r\nHello\r\n"

// hop is a next hop: an independent server that counts.
type hop struct {
	server      *smtp.Server
	port        uint16
	connections atomic.Int64
	inside      atomic.Int64 // messages being taken at this moment
	most        atomic.Int64 // the most of them at once
	hold        time.Duration
	refuse      error // the answer to MAIL, if any

	mu   sync.Mutex
	took map[string]int // messages by recipient
}

func newHop(t *testing.T, cfg *tls.Config) *hop {
	t.Helper()
	h := &hop{took: map[string]int{}}
	h.server = smtp.NewServer(h)
	h.server.Domain, h.server.TLSConfig, h.server.ErrorLog = "mx.test", cfg, quiet{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	h.port = netip.MustParseAddrPort(ln.Addr().String()).Port()
	go h.server.Serve(ln)
	t.Cleanup(func() { h.server.Close() })
	return h
}

func (h *hop) NewSession(*smtp.Conn) (smtp.Session, error) {
	h.connections.Add(1)
	return &session{h: h}, nil
}

type session struct {
	h    *hop
	to   []string
	user string
}

func (s *session) Reset()        { s.to = nil }
func (s *session) Logout() error { return nil }

func (s *session) Mail(string, *smtp.MailOptions) error { return s.h.refuse }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	now := s.h.inside.Add(1)
	for most := s.h.most.Load(); now > most && !s.h.most.CompareAndSwap(most, now); most = s.h.most.Load() {
	}
	defer s.h.inside.Add(-1)
	text, err := io.ReadAll(r)
	if err != nil || string(text) != letter {
		return errors.New("the message was changed")
	}
	time.Sleep(s.h.hold)
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	for _, to := range s.to {
		s.h.took[to]++
	}
	return nil
}

func (s *session) AuthMechanisms() []string { return []string{"PLAIN"} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "user" || password != "secret" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func options(t *testing.T, port uint16) Options {
	t.Helper()
	hello, err := mail.ParseDomain("client.test")
	check(t, err)
	const d = 2 * time.Second
	return Options{
		Host: "127.0.0.1", Port: port, Hello: hello, TLS: smtpc.TLSNone, Dial: Dialer(), SMTP: smtpc.DefaultLimits(),
		Timeouts: smtpc.Timeouts{Greeting: d, Hello: d, TLS: d, Auth: d, Mail: d, Rcpt: d, Envelope: d, DataInit: d, DataBlock: d, DataDone: d, Reset: d, Quit: d},
		Limits:   DefaultLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
}

func newTarget(t *testing.T, o Options) *Target {
	t.Helper()
	target, err := New(o)
	check(t, err)
	t.Cleanup(func() { target.Close() })
	return target
}

func job(t testing.TB, to ...string) deliver.Job {
	t.Helper()
	id, err := mail.NewID(time.Now(), rand.Reader)
	check(t, err)
	j := deliver.Job{
		ID: id, Envelope: mail.Envelope{From: mail.NullPath()}, Size: int64(len(letter)), Attempt: 1,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(letter)), nil },
	}
	for _, s := range to {
		a, err := mail.ParseAddress(s, mail.ASCII)
		check(t, err)
		j.Recipients = append(j.Recipients, deliver.Recipient{Recipient: mail.Recipient{Address: a}})
	}
	return j
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expect checks that there is one outcome for each recipient, in their order, and
// returns their codes.
func expect(t *testing.T, j deliver.Job, out []mail.Outcome, codes string) {
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

func TestIdleConnectionsEnd(t *testing.T) {
	h := newHop(t, nil)
	o := options(t, h.port)
	o.Limits.Idle = 30 * time.Millisecond
	target := newTarget(t, o)
	target.Deliver(t.Context(), job(t, "a@x.test"))
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		target.pool.mu.Lock()
		n := len(target.pool.idle)
		target.pool.mu.Unlock()
		if n == 0 {
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
	if len(target.pool.idle) != 0 {
		t.Error("a connection is kept after Close")
	}
}

// raw plays each connection of a server with fn.
func raw(t *testing.T, fn func(n int, nc net.Conn)) uint16 {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ; n++ {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(5 * time.Second))
				fn(n, nc)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return netip.MustParseAddrPort(ln.Addr().String()).Port()
}

// say writes each text after one read; it returns when the client goes.
func say(nc net.Conn, texts ...string) {
	io.WriteString(nc, "220 mx\r\n")
	for _, text := range texts {
		if _, err := nc.Read(make([]byte, 4096)); err != nil {
			return
		}
		io.WriteString(nc, text)
	}
}

// transcript is one connection that takes n messages.
func transcript(n int) []string {
	texts := []string{"250-mx\r\n250 PIPELINING\r\n"}
	for range n {
		texts = append(texts, "250 ok\r\n250 ok\r\n354 go\r\n", "250 ok\r\n")
	}
	return texts
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
	if n := dials.Load(); n > int64(o.Limits.Start) || time.Since(started) > time.Second {
		t.Errorf("%d attempts, %v", n, time.Since(started))
	}
	time.Sleep(200 * time.Millisecond)
	target.Deliver(t.Context(), job(t, "a@x.test"))
	if n := dials.Load(); n != int64(o.Limits.Start)+1 {
		t.Errorf("after its rest the next hop was tried %d times", n-int64(o.Limits.Start))
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
			o.Credentials = func() (smtpc.Credentials, error) { return smtpc.Credentials{User: "user", Password: "wrong"}, nil }
		}, "451 4.4.0"},
		"unreadable password": {func(o *Options) {
			o.Credentials = func() (smtpc.Credentials, error) {
				return smtpc.Credentials{}, errors.New("open /etc/secret: permission denied")
			}
		}, "454 4.7.0"},
		"no password": {func(o *Options) {
			o.Credentials = func() (smtpc.Credentials, error) { return smtpc.Credentials{}, nil }
		}, "451 4.4.2"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHop(t, server)
			o := options(t, h.port)
			o.TLS, o.Roots = smtpc.TLSRequired, roots
			o.Credentials = func() (smtpc.Credentials, error) { return smtpc.Credentials{User: "user", Password: "secret"}, nil }
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
	for mode, want := range map[smtpc.TLSMode]string{smtpc.TLSOpportunistic: "250", smtpc.TLSRequired: "451"} {
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
	if target.pool.active != 0 || len(target.pool.waiting) != 0 {
		t.Errorf("%d inside, %d waiting", target.pool.active, len(target.pool.waiting))
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
		"TLS undecided": func(o *Options) { o.TLS = smtpc.TLSUndecided },
		"password in clear": func(o *Options) {
			o.Credentials = func() (smtpc.Credentials, error) { return smtpc.Credentials{}, nil }
		},
	} {
		o := options(t, 25)
		spoil(&o)
		if target, err := New(o); target != nil || err == nil {
			t.Errorf("taken: %s", name)
		}
	}
}

func authority(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}
