package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/mail"
	smtpwire "sallyport/internal/smtp/wire"
)

// memory is a Backend that keeps what it accepts. Local parts choose what happens:
//
//	bob, carol, …   250 at local.test; everything elsewhere is 550
//	busy            451 at RCPT
//	lazy            Data refuses without reading
//	liar            Data says 250 without reading
//	short           Data reads five octets and says 250
//	mute            Data returns no reply at all
//	bye             Data answers 421
//	full            Data reads all and answers 452
//
// It checks that the engine keeps to the contract; faults lists what it did not.
type memory struct {
	mu       sync.Mutex
	messages []message
	refused  []string
	ends     []string
	aborts   int
	faults   []string
	hellos   []Hello
	demands  []mail.TLSDemand // of each MAIL

	greeting mail.Reply             // of Connect; zero: 220
	auth     bool                   // Mail needs a sign-in
	reading  chan<- struct{}        // told when Data begins
	sasl     func(mech string) SASL // nil: plain and login of alice:secret
}

type message struct {
	from string
	to   []string
	data string
}

func (m *memory) note(format string, a ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, fmt.Sprintf(format, a...))
}

func (m *memory) Connect(_ context.Context, c *Conn) (Session, mail.Reply) {
	if c.ID == "" || c.Kind == KindUnknown || c.Started.IsZero() {
		m.note("Connect with %+v", c)
	}
	if !m.greeting.IsZero() && !m.greeting.OK() {
		return nil, m.greeting
	}
	return &memSession{m: m, known: c.Known}, mail.R(220, "", "")
}

type memSession struct {
	m      *memory
	known  func() // called at MAIL from "device", who is known without AUTH
	closed bool
	signed string
	tx     *memTx
	hello  Hello
	inCall bool
}

func (s *memSession) alive(call string) {
	if s.closed {
		s.m.note("%s behind Close", call)
	}
}

func (s *memSession) Hello(_ context.Context, h Hello) mail.Reply {
	s.alive("Hello")
	s.hello = h
	s.m.mu.Lock()
	s.m.hellos = append(s.m.hellos, h)
	s.m.mu.Unlock()
	if s.tx != nil {
		s.m.note("Hello within a transaction")
	}
	if h.Name == "evil.test" {
		return mail.R(550, "5.7.1", "go away")
	}
	return mail.R(250, "", "ignored")
}

func (s *memSession) Auth(_ context.Context, mech string) (SASL, mail.Reply) {
	s.alive("Auth")
	if s.tx != nil || s.signed != "" || s.hello.TLS == nil {
		s.m.note("Auth out of place")
	}
	if s.m.sasl != nil {
		return s.m.sasl(mech), mail.Reply{}
	}
	if mech == "SCRAM-SHA-256" {
		return nil, mail.R(454, "4.7.0", "busy")
	}
	return &memSASL{s: s, mech: mech}, mail.Reply{}
}

type memSASL struct {
	s     *memSession
	mech  string
	user  string
	asked int
}

func (x *memSASL) Next(_ context.Context, response []byte) ([]byte, bool, mail.Reply) {
	if x.mech == "PLAIN" {
		if response == nil {
			return nil, false, mail.Reply{}
		}
		return nil, true, x.verdict(string(response) == "\x00alice\x00secret")
	}
	x.asked++
	switch x.asked {
	case 1:
		return []byte("Username:"), false, mail.Reply{}
	case 2:
		x.user = string(response)
		return []byte("Password:"), false, mail.Reply{}
	}
	return nil, true, x.verdict(x.user == "alice" && string(response) == "secret")
}

func (x *memSASL) verdict(ok bool) mail.Reply {
	if !ok {
		return mail.R(535, "5.7.8", "wrong")
	}
	x.s.signed = "alice"
	return mail.R(235, "2.7.0", "welcome")
}

func (s *memSession) Mail(_ context.Context, env mail.Envelope) (Transaction, mail.Reply) {
	s.alive("Mail")
	if s.tx != nil {
		s.m.note("Mail within a transaction")
	}
	if a, _ := env.From.Address(); a.Local() == "device" {
		s.known()
		s.signed = "device"
	}
	if s.m.auth && s.signed == "" {
		return nil, mail.R(530, "5.7.0", "sign in first")
	}
	s.m.mu.Lock()
	s.m.demands = append(s.m.demands, env.TLS)
	s.m.mu.Unlock()
	if env.From.IsZero() || len(env.To) > 0 {
		s.m.note("Mail with %+v", env)
	}
	if a, _ := env.From.Address(); a.Local() == "banned" {
		return nil, mail.R(550, "5.7.1", "not you")
	}
	s.tx = &memTx{s: s, from: env.From.String()}
	return s.tx, mail.R(250, "2.1.0", "ok")
}

func (s *memSession) Refused(_ context.Context, command string, r mail.Reply) {
	s.alive("Refused")
	if r.OK() || r.IsZero() {
		s.m.note("Refused(%q, %v)", command, r)
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.refused = append(s.m.refused, fmt.Sprintf("%s -> %s", command, code(r)))
}

func (s *memSession) Close(_ context.Context, why string) {
	s.alive("Close")
	s.closed = true
	if s.tx != nil {
		s.m.note("Close within a transaction")
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.ends = append(s.m.ends, why)
}

type memTx struct {
	s    *memSession
	from string
	to   []mail.Address
	over bool
}

func (x *memTx) alive(call string) {
	if x.over || x.s.tx != x {
		x.s.m.note("%s behind the end of the transaction", call)
	}
}

func (x *memTx) Rcpt(_ context.Context, p smtpwire.RcptParams) mail.Reply {
	x.alive("Rcpt")
	d, _ := mail.ParseDomain("local.test")
	a, err := p.To.At(d)
	switch {
	case err != nil:
		x.s.m.note("Rcpt with %+v", p)
		return mail.Reply{}
	case a.Domain() != d:
		return mail.R(550, "5.7.1", "relay denied")
	case a.Local() == "busy":
		return mail.R(451, "4.3.0", "later")
	}
	x.to = append(x.to, a)
	return mail.R(250, "2.1.5", "ok")
}

func (x *memTx) Abort(context.Context) {
	x.alive("Abort")
	x.over, x.s.tx = true, nil
	x.s.m.mu.Lock()
	defer x.s.m.mu.Unlock()
	x.s.m.aborts++
}

func (x *memTx) Data(_ context.Context, r io.Reader) mail.Reply {
	x.alive("Data")
	defer func() { x.over, x.s.tx = true, nil }()
	if x.s.m.reading != nil {
		x.s.m.reading <- struct{}{}
	}
	switch x.to[0].Local() {
	case "lazy":
		return mail.R(554, "5.7.1", "not this one")
	case "liar":
		return mail.R(250, "2.0.0", "queued unseen")
	case "short":
		_, _ = io.ReadFull(r, make([]byte, 5))
		return mail.R(250, "2.0.0", "queued in part")
	}
	var data bytes.Buffer
	if _, err := io.Copy(&data, r); err != nil {
		if _, again := r.Read(make([]byte, 1)); again == nil {
			x.s.m.note("a read went on behind %v", err)
		}
		// A success for what failed must not reach the client.
		return mail.R(250, "2.0.0", "queued regardless")
	}
	switch x.to[0].Local() {
	case "mute":
		return mail.Reply{}
	case "bye":
		return mail.R(421, "4.3.2", "going")
	case "full":
		return mail.R(452, "4.3.1", "no room")
	}
	msg := message{from: x.from, data: data.String()}
	for _, a := range x.to {
		msg.to = append(msg.to, a.Local())
	}
	x.s.m.mu.Lock()
	defer x.s.m.mu.Unlock()
	x.s.m.messages = append(x.s.m.messages, msg)
	return mail.R(250, "2.0.0", "queued")
}

// delivered lists the messages in one line.
func (m *memory) delivered() string {
	var all []string
	for _, msg := range m.snapshot() {
		all = append(all, msg.from+" "+strings.Join(msg.to, ",")+" "+msg.data)
	}
	return strings.Join(all, "|")
}

func (m *memory) snapshot() []message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.messages)
}

// check fails the test for every breach of the contract, and unless every
// connection was closed once.
func (m *memory) check(t interface{ Errorf(string, ...any) }, connections int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.faults {
		t.Errorf("the engine broke the contract: %s", f)
	}
	if len(m.ends) != connections {
		t.Errorf("%d sessions were closed, %d opened: %v", len(m.ends), connections, m.ends)
	}
}

func code(r mail.Reply) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", r.Code, r.Enhanced))
}

// testConfig has small limits, so that each can be reached, and no delays.
func testConfig(kind Kind) Config {
	d, _ := mail.ParseDomain("mx.local.test")
	l := DefaultLimits()
	l.GreetDelay, l.AuthFailureDelay = 0, 0
	l.LingerTimeout = 200 * time.Millisecond
	l.MessageOctets, l.DrainOctets, l.TextLineOctets = 10000, 20000, 2000
	l.Recipients, l.Transactions, l.Errors, l.Junk, l.Unknown = 5, 50, 20, 30, 10
	c := Config{Kind: kind, Hostname: d, Limits: l, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
	if kind != KindMX {
		c.Mechanisms = func(Channel) []string { return []string{"PLAIN", "LOGIN", "SCRAM-SHA-256"} }
	}
	return c
}

// withTLS adds a certificate, and returns what a client needs to trust it.
func withTLS(t testing.TB, c Config) (Config, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mx.local.test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	c.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	return c, &tls.Config{RootCAs: roots, ServerName: "mx.local.test"}
}
