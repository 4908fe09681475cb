package mx

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/smtp/client"
	"sallyport/test/port"
)

const letter = "Subject: x\r\n\r\nHello\r\n"

// world is a DNS of its own and servers on addresses of loopback, all at one port.
type world struct {
	t    testing.TB
	dns  *dnsx.Fake
	port uint16

	mu     sync.Mutex
	dialed []netip.Addr
	took   map[string]int // messages by "address recipient"
	opened map[string]int // connections by address
}

func newWorld(t testing.TB) *world {
	t.Helper()
	p, err := port.Reserve("0.0.0.0") // at all of the addresses that the names of a test may have
	check(t, err)
	t.Cleanup(func() { check(t, p.Release()) })
	return &world{
		t: t, port: uint16(p.Number), took: map[string]int{}, opened: map[string]int{},
		dns: &dnsx.Fake{Exchangers: map[string][]dnsx.MX{}, Hosts: map[string][]netip.Addr{}, Failures: map[string]error{}},
	}
}

// zone reads lines such as "x.test MX 10 mx.x.test", "mx.x.test A 127.0.0.2" and
// "x.test MX fails".
func (w *world) zone(lines ...string) *world {
	w.t.Helper()
	for _, line := range lines {
		f := strings.Fields(line)
		switch {
		case f[1] == "MX" && f[2] == "fails":
			w.dns.Failures["MX "+f[0]] = dnsx.ErrTimeout
		case f[1] == "A" && f[2] == "fails":
			w.dns.Failures["ADDR "+f[0]] = dnsx.ErrTimeout
		case f[1] == "MX":
			preference, err := strconv.Atoi(f[2])
			check(w.t, err)
			mx, err := dnsx.Exchanger(uint16(preference), f[3])
			check(w.t, err)
			w.dns.Exchangers[f[0]] = append(w.dns.Exchangers[f[0]], mx)
		case f[1] == "A":
			w.dns.Hosts[f[0]] = append(w.dns.Hosts[f[0]], netip.MustParseAddr(f[2]))
		default:
			w.t.Fatalf("no record: %s", line)
		}
	}
	return w
}

// serve runs an independent SMTP server at an address.
func (w *world) serve(ip string, cfg *tls.Config) {
	w.t.Helper()
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.opened[ip]++
		return &session{w: w, ip: ip}, nil
	}))
	server.Domain, server.TLSConfig, server.ErrorLog = "mx.test", cfg, quiet{}
	ln := w.listen(ip)
	go server.Serve(ln)
	w.t.Cleanup(func() { server.Close() })
}

// play plays each connection to an address with fn.
func (w *world) play(ip string, fn func(n int, nc net.Conn)) {
	w.t.Helper()
	ln := w.listen(ip)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ; n++ {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			w.mu.Lock()
			w.opened[ip]++
			w.mu.Unlock()
			wg.Go(func() {
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(5 * time.Second))
				fn(n, nc)
			})
		}
	})
	w.t.Cleanup(func() { ln.Close(); wg.Wait() })
}

func (w *world) listen(ip string) net.Listener {
	w.t.Helper()
	ln, err := net.Listen("tcp", fmt.Sprintf("%s:%d", ip, w.port))
	check(w.t, err)
	return ln
}

// say writes the greeting, then each text after one read.
func say(nc net.Conn, greeting string, texts ...string) {
	io.WriteString(nc, greeting+"\r\n")
	for _, text := range texts {
		if _, err := nc.Read(make([]byte, 4096)); err != nil {
			return
		}
		io.WriteString(nc, text+"\r\n")
	}
	io.Copy(io.Discard, nc)
}

// greets is a server that says only this, at every connection.
func greets(texts ...string) func(int, net.Conn) {
	return func(_ int, nc net.Conn) { say(nc, texts[0], texts[1:]...) }
}

func (w *world) options() Options {
	hello, err := mail.ParseDomain("mail.home.test")
	check(w.t, err)
	const d = time.Second
	dial := func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	}
	return Options{
		Hello: hello, Resolver: w.dns, Port: w.port, SMTP: client.DefaultLimits(), Limits: DefaultLimits(), Now: time.Now,
		Own:          func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} },
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Logger:       slog.New(slog.DiscardHandler),
		Timeouts:     client.Timeouts{Greeting: d, Hello: d, TLS: d, Auth: d, Mail: d, Rcpt: d, Envelope: d, DataInit: d, DataBlock: d, DataDone: d, Reset: d, Quit: d},
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			w.mu.Lock()
			w.dialed = append(w.dialed, to.Addr())
			w.mu.Unlock()
			if !to.Addr().IsLoopback() {
				return nil, errors.New("the world is not to be bothered by tests")
			}
			return dial(ctx, to)
		},
	}
}

func (w *world) targets(o Options) *Targets {
	w.t.Helper()
	t, err := New(o)
	check(w.t, err)
	w.t.Cleanup(func() { t.Close() })
	return t
}

// deliver sends one letter to each recipient, who share a domain, and returns the
// outcomes as "250 2.0.0 remote".
func (w *world) deliver(t *Targets, to ...string) []string {
	w.t.Helper()
	j := w.job(to...)
	return w.outcomes(j, t.For(j.Recipients[0].Address.Domain()).Deliver(w.t.Context(), j))
}

func (w *world) outcomes(j nexthop.Job, out []mail.Outcome) (lines []string) {
	w.t.Helper()
	if len(out) != len(j.Recipients) {
		w.t.Fatalf("%d outcomes for %d recipients", len(out), len(j.Recipients))
	}
	for i, o := range out {
		if o.Recipient != j.Recipients[i].Address || o.Remote == "" || o.Reply.Text == "" {
			w.t.Errorf("outcome %d is %+v", i, o)
		}
		lines = append(lines, fmt.Sprintf("%d %s %s", o.Reply.Code, o.Reply.Enhanced, o.Remote))
	}
	return lines
}

func (w *world) job(to ...string) nexthop.Job {
	w.t.Helper()
	id, err := mail.NewID(time.Now(), rand.Reader)
	check(w.t, err)
	j := nexthop.Job{
		ID: id, Envelope: mail.Envelope{From: mail.NullPath()}, Size: int64(len(letter)), Attempt: 1,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(letter)), nil },
	}
	for _, s := range to {
		a, err := mail.ParseAddress(s, mail.ASCII)
		check(w.t, err)
		j.Recipients = append(j.Recipients, nexthop.Recipient{Recipient: mail.Recipient{Address: a}})
	}
	return j
}

// at is the remote of an outcome.
func (w *world) at(host, ip string) string { return fmt.Sprintf("%s [%s]:%d", host, ip, w.port) }

func (w *world) want(got []string, want ...string) {
	w.t.Helper()
	if !slices.Equal(got, want) {
		w.t.Errorf("\n got %q\nwant %q", got, want)
	}
}

// wantDialed checks which addresses were dialled, in this order.
func (w *world) wantDialed(want ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	got := []string{}
	for _, ip := range w.dialed {
		got = append(got, ip.String())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		w.t.Errorf("dialled %v, want %v", got, want)
	}
}

func (w *world) count(ip string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened[ip]
}

type session struct {
	w  *world
	ip string
	to []string
}

func (s *session) Reset()                               { s.to = nil }
func (s *session) Logout() error                        { return nil }
func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch {
	case strings.HasPrefix(to, "nobody@"):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	case strings.HasPrefix(to, "later@"):
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "come again"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil || string(text) != letter {
		return errors.New("the message was changed")
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, to := range s.to {
		s.w.took[s.ip+" "+to]++
	}
	return nil
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// selfSigned is TLS that nobody can verify.
func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
