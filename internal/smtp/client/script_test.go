package client

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// serve plays a server from a script, one step a line, for one connection:
//
//	S: text       sends the text and CRLF
//	S* text       sends the text with the escapes of Go, and nothing else
//	C: text       reads a line, which must begin with the text
//	.             reads a message up to CRLF "." CRLF
//	BDAT          reads a BDAT line and its octets
//	TLS           does the handshake
//	pause         waits a moment
//	stall         is silent until the client closes
//	drip          sends an octet of a reply now and then, for ever
//	flood         sends lines of one reply for ever
//	reset         drops the connection at once
//	eof           wants the client to close, having sent nothing more
//
// At the end of the script it closes. It returns the address, and a function that
// waits for the end and returns all that the client sent.
func serve(t *testing.T, script string, cfg *tls.Config) (addr string, sent func() string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, tls: cfg}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		p.play(nc, script)
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String(), func() string { <-done; return p.log.String() }
}

type player struct {
	t   *testing.T
	tls *tls.Config
	nc  net.Conn
	br  *bufio.Reader
	mu  sync.Mutex
	log strings.Builder
}

func (p *player) play(nc net.Conn, script string) {
	p.nc, p.br = nc, bufio.NewReader(nc)
	defer func() { p.nc.Close() }()
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	for step := range strings.SplitSeq(script, "\n") {
		if step = strings.TrimSpace(step); step != "" && !p.step(step) {
			return
		}
	}
}

func (p *player) step(step string) bool {
	verb, rest, _ := strings.Cut(step, " ")
	switch verb {
	case "S:":
		_, err := io.WriteString(p.nc, rest+"\r\n")
		return err == nil
	case "S*":
		_, err := io.WriteString(p.nc, strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\0`, "\x00", `\16`, "\x16", `\3`, "\x03").Replace(rest))
		return err == nil
	case "C:":
		line, ok := p.line()
		if ok && !strings.HasPrefix(line, rest) {
			p.t.Errorf("the client said %q; the script wants %q", line, rest)
		}
		return ok
	case ".":
		for {
			if line, ok := p.line(); !ok || line == "." {
				return ok
			}
		}
	case "BDAT":
		return p.chunk()
	case "TLS":
		tc := tls.Server(p.nc, p.tls)
		if tc.Handshake() != nil {
			return false
		}
		p.nc, p.br = tc, bufio.NewReader(tc)
	case "pause":
		time.Sleep(50 * time.Millisecond)
	case "stall":
		io.Copy(io.Discard, p.br)
	case "drip":
		for p.write("2") {
			time.Sleep(20 * time.Millisecond)
		}
	case "flood":
		for p.write("250-" + strings.Repeat("x", 60) + "\r\n") {
		}
	case "reset":
		p.nc.(*net.TCPConn).SetLinger(0)
		return false
	case "eof":
		if line, err := p.br.ReadString('\n'); err == nil {
			p.t.Errorf("the client went on: %q", line)
		}
	default:
		p.t.Errorf("no such step: %q", step)
	}
	return true
}

func (p *player) write(s string) bool {
	_, err := io.WriteString(p.nc, s)
	return err == nil
}

func (p *player) line() (string, bool) {
	line, err := p.br.ReadString('\n')
	p.log.WriteString(line)
	if err != nil {
		return "", false
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok || strings.Contains(text, "\r") {
		p.t.Errorf("the client sent a bare CR or LF: %q", line)
	}
	return text, true
}

func (p *player) chunk() bool {
	line, ok := p.line()
	var n int64
	if _, err := fmt.Sscanf(line, "BDAT %d LAST", &n); ok && err != nil {
		p.t.Errorf("the client said %q instead of BDAT", line)
	}
	got, err := io.Copy(&p.log, io.LimitReader(p.br, n))
	return ok && err == nil && got == n
}

// authority makes a certificate for 127.0.0.1 and mx.test: the server's side, and
// the client's that trusts it.
func authority(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.test"}, DNSNames: []string{"mx.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{RootCAs: roots, ServerName: "mx.test"}
}

func options(t *testing.T) Options {
	t.Helper()
	hello, err := mail.ParseDomain("client.test")
	check(t, err)
	const d = 2 * time.Second
	return Options{
		Hello: hello, Host: "mx.test", TLS: TLSPolicy{Mode: mail.TLSNone}, Limits: DefaultLimits(),
		Timeouts: Timeouts{Greeting: d, Hello: d, TLS: d, Auth: d, Mail: d, Rcpt: d, Envelope: 2 * d, DataInit: d, DataBlock: d, DataDone: d, Reset: d, Quit: d},
	}
}

func envelope(t *testing.T, from string, to ...string) mail.Envelope {
	t.Helper()
	env := mail.Envelope{From: mail.NullPath()}
	if from != "" {
		env.From = mail.PathOf(address(t, from))
	}
	for _, s := range to {
		env.To = append(env.To, mail.Recipient{Address: address(t, s)})
	}
	return env
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	check(t, err)
	return a
}

func dial(t *testing.T, addr string, o Options) (*Client, error) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	check(t, err)
	c, err := New(t.Context(), nc, o)
	if c != nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func dialRaw(t *testing.T, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	check(t, err)
	return nc
}

func (p *player) certificates() []*x509.Certificate {
	cert, err := x509.ParseCertificate(p.tls.Certificates[0].Certificate[0])
	check(p.t, err)
	return []*x509.Certificate{cert}
}

func tlsListener(ln net.Listener, cfg *tls.Config) net.Listener { return tls.NewListener(ln, cfg) }
