package timing

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"sallyport/internal/accounts"
	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
	"sallyport/internal/sched"
	"sallyport/internal/screen"
	"sallyport/internal/signin"
	smtpserver "sallyport/internal/smtp/server"
	"sallyport/internal/spool"
	"sallyport/internal/store/mem"
	"sallyport/internal/trace"
	"sallyport/test/cpu"
)

const password = "correct horse battery"

// limits are those of accounts that never refuse for guessing too often.
func limits(memory uint32, passes uint32) accounts.Limits {
	l := accounts.DefaultLimits()
	l.HashMemory, l.HashPasses, l.ScramRounds = memory, passes, 4096
	l.HashWrong = 1 // nobody else's guesses make one wait
	most := screen.Rate{Burst: 1 << 20, Every: 1}
	g := &l.Guesses
	g.Account, g.All, g.Known, g.Shared, g.Network, g.Repeat, g.Start, g.StartKnown, g.StartShare = most, most, most, most, most, most, most.Burst, most.Burst, 1
	return l
}

// world is a door for submissions with everything behind it.
type world struct {
	t        *testing.T
	identity *accounts.Identity
	plant    atomic.Int64 // how much longer the next refusal is made to take
	conn     net.Conn
	br       *bufio.Reader
	clock    func() time.Duration // by which answers are timed
}

func newWorld(t *testing.T, l accounts.Limits) *world {
	t.Helper()
	began := time.Now()
	w := &world{t: t, clock: func() time.Duration { return time.Since(began) }}
	if !isLarge() {
		w.clock = func() time.Duration { return cpu.Process(t) }
	}
	st, log := mem.New(), slog.New(slog.DiscardHandler)
	var err error
	w.identity, err = accounts.Open(t.Context(), st, accounts.Options{Limits: l})
	must(t, err)
	key, err := gate.NewKey(bytes.Repeat([]byte{7}, gate.KeyOctets))
	must(t, err)
	queue, _, err := spool.Open(t.Context(), st, spool.Options{Key: key, Policy: sched.Default(), Now: time.Now, Logger: log})
	must(t, err)
	secret, err := trace.NewKey(rand.Reader, "mx.local.test")
	must(t, err)
	signing, err := trace.ParseKey(secret)
	must(t, err)
	facts, err := trace.Open(t.Context(), st, trace.Options{
		Origin: signing.Origin(), Key: signing, CheckpointDir: t.TempDir(), Limits: trace.DefaultLimits(),
		Now: time.Now, Rand: rand.Reader, Logger: log,
	})
	must(t, err)
	local := address(t, "x@local.test").Domain()
	dir, err := directory.NewSnapshot(directory.Config{Hostname: address(t, "x@mx.local.test").Domain(), Detail: '+', Domains: []directory.Domain{{Name: local, Deliver: directory.DeliverMaildir}}},
		nil)
	must(t, err)
	in := intake.New(intake.Options{
		Desk:     signin.New(signin.Options{Accounts: w.identity, Journal: facts, Limits: signin.DefaultLimits(), Now: time.Now, Logger: log}),
		Hostname: dir.Hostname(), Directory: func() *directory.Snapshot { return dir }, Accounts: w.identity, Queue: queue, Journal: facts,
		Limits: intake.DefaultLimits(), Now: time.Now, Rand: rand.Reader, Logger: log,
	})
	server := smtpserver.DefaultLimits()
	server.Errors, server.AuthFailures, server.AuthFailureDelay, server.GreetDelay = 1<<30, 1<<30, 0, 0
	files := pki.In(filepath.Join(t.TempDir(), "tls"))
	must(t, files.Ensure("timing test", pki.Names{Hosts: []string{"mx.local.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now()))
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	must(t, err)
	w.serve(smtpserver.Config{
		Kind: smtpserver.KindSubmissions, Hostname: dir.Hostname(), TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Limits: server, Logger: log, Now: time.Now,
		Mechanisms: func(c smtpserver.Channel) []string { return w.identity.Mechanisms(c.TLS != nil, c.Plus) },
	}, in, cert)
	return w
}

// serve connects to a server of its own over a socket.
func (w *world) serve(cfg smtpserver.Config, in smtpserver.Backend, cert tls.Certificate) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if nc, err := ln.Accept(); err == nil {
			smtpserver.ServeConn(context.Background(), nc, cfg, planting{in, &w.plant})
		}
	}()
	roots := x509.NewCertPool()
	for _, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		must(w.t, err)
		roots.AddCert(c)
	}
	w.conn, err = tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "mx.local.test"})
	must(w.t, err)
	w.t.Cleanup(func() {
		_ = w.conn.Close()
		_ = ln.Close()
		<-served
	})
	w.br = bufio.NewReader(w.conn)
	w.expect("220")
	w.say("EHLO client.test", "250")
}

// add makes an account.
func (w *world) add(name string) mail.Address {
	w.t.Helper()
	a := address(w.t, name)
	_, err := w.identity.Add(w.t.Context(), a, password, accounts.Sending{Role: accounts.RolePerson}, nil)
	must(w.t, err)
	return a
}

func (w *world) expect(code string) (text string) {
	w.t.Helper()
	for {
		line, err := w.br.ReadString('\n')
		must(w.t, err)
		if len(line) > 3 && line[3] == ' ' {
			if !strings.HasPrefix(line, code) {
				w.t.Fatalf("%q, want %s", line, code)
			}
			return strings.TrimRight(line[4:], "\r\n")
		}
	}
}

// say sends a line, and returns the text of the answer and how long it took: on the clock in the
// large form, and else in processor time, which other work on the machine is not part of.
func (w *world) say(line, code string) (text string, took time.Duration) {
	w.t.Helper()
	began := w.clock()
	_, err := fmt.Fprintf(w.conn, "%s\r\n", line)
	must(w.t, err)
	text = w.expect(code)
	return text, w.clock() - began
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// try is refused, by the mechanism: it returns how long the server took, all answers together.
func (w *world) try(mechanism, user, password string) (took time.Duration) {
	w.t.Helper()
	switch mechanism {
	case "PLAIN":
		_, took = w.say("AUTH PLAIN "+b64("\x00"+user+"\x00"+password), "535")
		return took
	case "LOGIN":
		_, took = w.say("AUTH LOGIN "+b64(user), "334")
		_, more := w.say(b64(password), "535")
		return took + more
	}
	c, err := scram.SHA256.NewClient(user, password, "")
	must(w.t, err)
	talk := c.NewConversation()
	first, err := talk.Step("")
	must(w.t, err)
	challenge, took := w.say("AUTH SCRAM-SHA-256 "+b64(first), "334")
	said, err := base64.StdEncoding.DecodeString(challenge)
	must(w.t, err)
	final, err := talk.Step(string(said))
	must(w.t, err)
	_, more := w.say(b64(final), "535")
	return took + more
}

// planting makes the end of an exchange take longer, so that the statistics have something to
// find. The rooms know nothing of it.
type planting struct {
	smtpserver.Backend
	plant *atomic.Int64
}

// Connect implements smtpserver.Backend.
func (p planting) Connect(ctx context.Context, c *smtpserver.Conn) (smtpserver.Session, mail.Reply) {
	s, r := p.Backend.Connect(ctx, c)
	if s == nil {
		return nil, r
	}
	return plantingSession{s, p.plant}, r
}

type plantingSession struct {
	smtpserver.Session
	plant *atomic.Int64
}

// Auth implements smtpserver.Session.
func (s plantingSession) Auth(ctx context.Context, mechanism string) (smtpserver.SASL, mail.Reply) {
	x, r := s.Session.Auth(ctx, mechanism)
	if x == nil {
		return nil, r
	}
	return plantingSASL{x, s.plant}, r
}

type plantingSASL struct {
	smtpserver.SASL
	plant *atomic.Int64
}

// Next implements smtpserver.SASL. A hash that costs more works on; it does not sleep.
func (x plantingSASL) Next(ctx context.Context, response []byte) (challenge []byte, done bool, r mail.Reply) {
	challenge, done, r = x.SASL.Next(ctx, response)
	if done {
		for until := time.Now().Add(time.Duration(x.plant.Load())); time.Now().Before(until); {
		}
	}
	return challenge, done, r
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	must(t, err)
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
