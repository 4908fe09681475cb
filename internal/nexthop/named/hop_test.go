package named

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/smtp/client"
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

// place is a route to a port of this machine.
func place(port uint16) Place {
	return Place{Network: "tcp", Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))), Host: "127.0.0.1", TLS: mail.TLSNone, Limits: DefaultLimits()}
}

func means(t *testing.T) Means {
	t.Helper()
	hello, err := mail.ParseDomain("client.test")
	check(t, err)
	const d = 2 * time.Second
	return Means{
		Hello: hello, Dial: Dialer(), SMTP: client.DefaultLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Timeouts: client.Timeouts{Greeting: d, Hello: d, TLS: d, Auth: d, Mail: d, Rcpt: d, Envelope: d, DataInit: d, DataBlock: d, DataDone: d, Reset: d, Quit: d},
	}
}

func reach(t *testing.T, p Place, m Means) *Target {
	t.Helper()
	target, err := New(p, m)
	check(t, err)
	t.Cleanup(func() { target.Close() })
	return target
}

// file writes a file of the administrator's and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func job(t testing.TB, to ...string) nexthop.Job {
	t.Helper()
	id, err := mail.NewID(time.Now(), rand.Reader)
	check(t, err)
	j := nexthop.Job{
		ID: id, Envelope: mail.Envelope{From: mail.NullPath()}, Size: int64(len(letter)), Attempt: 1,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(letter)), nil },
	}
	for _, s := range to {
		a, err := mail.ParseAddress(s, mail.ASCII)
		check(t, err)
		j.Recipients = append(j.Recipients, nexthop.Recipient{Recipient: mail.Recipient{Address: a}})
	}
	return j
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
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

// authority returns a server that proves itself, and the file to trust it by.
func authority(t *testing.T) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(t, err)
	ca := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, ca
}
