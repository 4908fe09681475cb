package signin

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"sallyport/internal/kit/pki"
)

// between is somebody who has a certificate that the client believes, ends the client's TLS,
// begins his own with the server, and passes on what both say, changed as he likes.
type between struct {
	addr, ca string
	roots    *x509.CertPool
	mu       sync.Mutex
	heard    []string // from the server
}

// relay starts one; toServer and toClient change a line.
func (s *site) relay(toServer, toClient func(string) string) *between {
	s.t.Helper()
	files := pki.In(filepath.Join(s.t.TempDir(), "tls"))
	must(s.t, files.Ensure("between", pki.Names{Hosts: []string{"mx.local.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now()))
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	must(s.t, err)
	text, err := os.ReadFile(files.CA)
	must(s.t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(s.t, err)
	m := &between{addr: l.Addr().String(), ca: files.CA, roots: x509.NewCertPool()}
	m.roots.AppendCertsFromPEM(text)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { m.pass(nc, s.addrs["submission"], pair, toServer, toClient) })
		}
	})
	s.t.Cleanup(func() { l.Close(); all.Wait() })
	return m
}

// pass is one connection: clear text to STARTTLS, then two legs of TLS.
func (m *between) pass(client net.Conn, server string, pair tls.Certificate, toServer, toClient func(string) string) {
	defer client.Close()
	up, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer up.Close()
	for _, nc := range []net.Conn{client, up} {
		_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	}
	fromClient, fromServer := bufio.NewReader(client), bufio.NewReader(up)
	reply := func() (last string) {
		for {
			line, err := fromServer.ReadString('\n')
			_, _ = io.WriteString(client, line)
			if err != nil || len(line) > 3 && line[3] == ' ' {
				return line
			}
		}
	}
	reply()
	for {
		line, err := fromClient.ReadString('\n')
		if err != nil {
			return
		}
		_, _ = io.WriteString(up, line)
		if reply(); strings.EqualFold(strings.TrimSpace(line), "STARTTLS") {
			break
		}
	}
	a := tls.Server(client, &tls.Config{Certificates: []tls.Certificate{pair}})
	b := tls.Client(up, &tls.Config{InsecureSkipVerify: true})
	var both sync.WaitGroup
	carry := func(from, to *tls.Conn, change func(string) string, heard bool) {
		defer from.Close()
		defer to.Close()
		for r := bufio.NewReader(from); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if heard {
				m.mu.Lock()
				m.heard = append(m.heard, line)
				m.mu.Unlock()
			}
			if _, err := io.WriteString(to, change(line)); err != nil {
				return
			}
		}
	}
	both.Go(func() { carry(a, b, toServer, false) })
	both.Go(func() { carry(b, a, toClient, true) })
	both.Wait()
}

func (m *between) said(code string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, line := range m.heard {
		if strings.HasPrefix(line, code) {
			return true
		}
	}
	return false
}

func same(line string) string { return line }

// dial connects as a client that believes him.
func (m *between) dial(s *site) *client {
	s.t.Helper()
	raw := s.raw(m.addr)
	c := &client{t: s.t, nc: raw, br: bufio.NewReader(raw)}
	c.expect("220")
	c.say("EHLO client.test", "250")
	c.say("STARTTLS", "220")
	nc := tls.Client(raw, &tls.Config{RootCAs: m.roots, ServerName: "mx.local.test"})
	must(s.t, nc.Handshake())
	c.nc, c.br = nc, bufio.NewReader(nc)
	c.hello = c.say("EHLO client.test", "250")
	return c
}

// Who stands between two legs of TLS and passes a sign-in on has nothing of it where the
// client binds, whatever he changes. Row H14.
func TestARelayedChannelIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, bound...)
	alice := func() *scram.Client { return as(t, "alice@local.test", "") }

	// Without binding he gets in with her: this is what there is to prevent.
	m := s.relay(same, same)
	if got := m.dial(s).scram("SCRAM-SHA-256", alice().NewConversation()); !strings.HasPrefix(got, "235") || !m.said("235") {
		t.Fatalf("the man between does not pass anything on: %s", got)
	}
	m = s.relay(same, same)
	c := m.dial(s)
	if !c.offers("SCRAM-SHA-256-PLUS") {
		t.Fatalf("offered %q", c.hello)
	}
	if got := c.scram("SCRAM-SHA-256-PLUS", alice().NewConversationWithChannelBinding(c.exporter())); !strings.HasPrefix(got, "535") || m.said("235") {
		t.Errorf("tls-exporter of the other leg: %s", got)
	}
	c = m.dial(s)
	state := c.state()
	point, err := scram.NewTLSServerEndpointBinding(&state)
	must(t, err)
	if got := c.scram("SCRAM-SHA-256-PLUS", alice().NewConversationWithChannelBinding(point)); !strings.HasPrefix(got, "535") || m.said("235") {
		t.Errorf("tls-server-end-point of his certificate: %s", got)
	}

	// He takes the offer away: the client says that it could, and is refused.
	hides := func(line string) string { return strings.Replace(line, " SCRAM-SHA-256-PLUS", "", 1) }
	m = s.relay(same, hides)
	if c = m.dial(s); c.offers("SCRAM-SHA-256-PLUS") {
		t.Fatalf("offered %q", c.hello)
	}
	if got := c.scram("SCRAM-SHA-256", alice().NewConversationAdvertisingChannelBinding()); !strings.HasPrefix(got, "535") || m.said("235") {
		t.Errorf("a downgrade: %s", got)
	}

	// He takes that word away too: the client's proof covers it.
	lies := func(line string) string {
		verb, text, _ := strings.Cut(line, "AUTH SCRAM-SHA-256 ")
		if verb != "" || text == "" {
			return line
		}
		first, err := b64Decode(strings.TrimSpace(text))
		if err != nil || !strings.HasPrefix(first, "y,,") {
			return line
		}
		return "AUTH SCRAM-SHA-256 " + b64("n"+first[1:]) + "\r\n"
	}
	m = s.relay(lies, hides)
	if got := m.dial(s).scram("SCRAM-SHA-256", alice().NewConversationAdvertisingChannelBinding()); !strings.HasPrefix(got, "535") || m.said("235") {
		t.Errorf("a downgrade with another flag: %s", got)
	}
}

// gsasl, which believes the certificate of the man between, does not sign in through him.
func TestGsaslThroughARelayedChannel(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("gsasl")
	if err != nil {
		t.Skip("gsasl is not installed")
	}
	s := start(t, bound...)
	m := s.relay(same, same)
	try := func(addr, ca string, more ...string) string {
		var out bytes.Buffer
		args := append([]string{"--smtp", "--authentication-id", "alice@local.test", "--authorization-id", "", "--password", password, "--x509-ca-file", ca, "--connect", addr},
			more...)
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Stdout, cmd.Stderr = &out, &out
		_ = cmd.Run()
		return out.String()
	}
	if out := try(s.addrs["submission"], filepath.Join(s.dir, "tls", "ca.pem"), "--mechanism", "SCRAM-SHA-256-PLUS"); !strings.Contains(out, "235 ") {
		t.Errorf("straight: %s", out)
	}
	if out := try(m.addr, m.ca, "--mechanism", "SCRAM-SHA-256", "--no-cb"); !strings.Contains(out, "235 ") {
		t.Errorf("through him, not bound: %s", out)
	}
	if out := try(m.addr, m.ca, "--mechanism", "SCRAM-SHA-256-PLUS"); strings.Contains(out, "235 ") || !strings.Contains(out, "535 ") {
		t.Errorf("through him, bound: %s", out)
	}
}

func b64Decode(text string) (string, error) {
	out, err := base64.StdEncoding.DecodeString(text)
	return string(out), err
}
