package relayaudit

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// laxServer is a small mail server with known faults, each of which the rows must
// find. With no fault set it is closed.
type laxServer struct {
	openRelay   bool // takes every recipient
	bareLF      bool // ends a message at LF "." LF
	doubleReply bool // answers NOOP twice
	silent      bool // does not answer RSET
	keepsBuffer bool // executes what came with STARTTLS
	losesMail   bool // answers 250 and keeps nothing
	mute        bool // never greets

	cfg *tls.Config

	mu     sync.Mutex
	stored []Stored
}

// start serves on a loopback port and returns the target.
func (s *laxServer) start(t *testing.T) Target {
	t.Helper()
	cert, pool := selfSigned(t)
	s.cfg = &tls.Config{Certificates: []tls.Certificate{cert}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	addr := netip.MustParseAddrPort(ln.Addr().String())
	lim := DefaultLimits()
	lim.Reply = 10 * time.Second
	if s.silent {
		lim.Reply = 200 * time.Millisecond
	}
	return Target{
		MX: addr, Roots: pool, Limits: lim, User: "alice@local.test", Password: "x",
		Hostname: domain(t, "mx.local.test"), Local: domain(t, "local.test"),
		Second: domain(t, "other.test"), Remote: domain(t, "remote.test"),
	}
}

// session is one connection of the server.
type session struct {
	s    *laxServer
	c    net.Conn
	br   *bufio.Reader
	from string
	to   []string
}

func (s *laxServer) serve(c net.Conn) {
	defer c.Close()
	if s.mute {
		io.Copy(io.Discard, c)
		return
	}
	x := &session{s: s, c: c, br: bufio.NewReader(c)}
	x.say("220 mx.local.test")
	for {
		line, err := x.br.ReadString('\n')
		if err != nil {
			return
		}
		if !x.obey(strings.TrimRight(line, "\r\n")) {
			return
		}
	}
}

func (x *session) say(format string, args ...any) { fmt.Fprintf(x.c, format+"\r\n", args...) }

func (x *session) obey(line string) bool {
	verb := strings.ToUpper(strings.SplitN(line, " ", 2)[0])
	switch {
	case verb == "EHLO" || verb == "HELO":
		x.from, x.to = "", nil
		x.say("250-mx.local.test\r\n250 STARTTLS")
	case verb == "STARTTLS":
		return x.startTLS()
	case strings.HasPrefix(line, "MAIL FROM:"):
		x.from, x.to = line[10:], nil
		x.say("250 2.1.0 ok")
	case strings.HasPrefix(line, "RCPT TO:"):
		x.rcpt(line[8:])
	case verb == "DATA":
		x.data()
	case verb == "NOOP":
		x.say("250 2.0.0 ok")
		if x.s.doubleReply {
			x.say("250 2.0.0 ok again")
		}
	case verb == "RSET":
		x.from, x.to = "", nil
		if !x.s.silent {
			x.say("250 2.0.0 ok")
		}
	case verb == "QUIT":
		x.say("221 2.0.0 bye")
		return false
	default:
		x.say("500 5.5.2 what?")
	}
	return true
}

func (x *session) rcpt(path string) {
	switch {
	case x.from == "":
		x.say("503 5.5.1 MAIL first")
	case strings.EqualFold(path, "<bob@local.test>") || x.s.openRelay:
		x.to = append(x.to, path)
		x.say("250 2.1.5 ok")
	default:
		x.say("550 5.7.1 no")
	}
}

func (x *session) startTLS() bool {
	kept := make([]byte, x.br.Buffered())
	io.ReadFull(x.br, kept)
	x.say("220 2.0.0 go")
	c := tls.Server(x.c, x.s.cfg)
	if c.Handshake() != nil {
		return false
	}
	x.c, x.br = c, bufio.NewReader(c)
	if x.s.keepsBuffer {
		x.br = bufio.NewReader(io.MultiReader(strings.NewReader(string(kept)), c))
	}
	return true
}

// data reads a message in the lax way: lines end at LF; whether a CR must stand
// before it is the fault.
func (x *session) data() {
	if len(x.to) == 0 {
		x.say("503 5.5.1 RCPT first")
		return
	}
	x.say("354 go ahead")
	var text strings.Builder
	for {
		line, err := x.br.ReadString('\n')
		if err != nil {
			return
		}
		if line == ".\r\n" && (strings.HasSuffix(text.String(), "\r\n") || x.s.bareLF) || line == ".\n" && x.s.bareLF {
			break
		}
		text.WriteString(line)
	}
	x.keep(text.String())
	x.from, x.to = "", nil
	x.say("250 2.0.0 queued")
}

func (x *session) keep(text string) {
	if x.s.losesMail {
		return
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	for _, to := range x.to {
		box := ""
		if strings.HasSuffix(to, "@local.test>") {
			box = "bob"
		}
		x.s.stored = append(x.s.stored, Stored{Mailbox: box, Octets: []byte(text)})
	}
}

// found returns what the server holds of a run.
func (s *laxServer) found(marker string) []Stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Stored
	for _, m := range s.stored {
		if strings.Contains(string(m.Octets), marker) {
			out = append(out, m)
		}
	}
	return out
}

func domain(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mx.local.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
