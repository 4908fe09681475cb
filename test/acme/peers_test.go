package acme

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/kit/pki"
	"sallyport/test/load/rig"
)

// patience is how long something may take on a busy host: longer than the first pause of
// the server, so that an attempt that fails for once does not fail the test.
const patience = 2 * time.Minute

// place is an address of a test's own on loopback, so that its ports are free.
func place(index int) string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 100+pid>>14&63, pid>>6&255, pid&63<<2|index)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// programs are the server and the authority, built once for all tests.
type programs struct{ sallyport, pebble string }

func build(t *testing.T) (p programs) {
	t.Helper()
	dir := t.TempDir()
	server, err := rig.Build(t.Context(), dir)
	must(t, err)
	p = programs{server, filepath.Join(dir, "pebble")}
	cmd := exec.Command("go", "build", "-o", p.pebble, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	cmd.Dir = "pebble"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return p
}

// names is a name server that knows a few addresses, and says of all else that there is
// no such name.
type names struct {
	mu   sync.Mutex
	that map[string]string
}

func serveNames(t *testing.T, at string) *names {
	t.Helper()
	n := &names{that: map[string]string{}}
	pc, err := net.ListenPacket("udp4", at)
	must(t, err)
	ln, err := net.Listen("tcp4", at) // Pebble asks there
	must(t, err)
	var serving sync.WaitGroup
	for _, srv := range []*dns.Server{{PacketConn: pc, Handler: n}, {Listener: ln, Handler: n}} {
		serving.Go(func() { _ = srv.ActivateAndServe() })
	}
	t.Cleanup(func() {
		_, _ = pc.Close(), ln.Close()
		serving.Wait()
	})
	return n
}

// lead makes a name lead to an address.
func (n *names) lead(name, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.that[name+"."] = to
}

// ServeDNS implements dns.Handler.
func (n *names) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(r)
	m.RecursionAvailable = true
	q := r.Question[0]
	to, known := n.that[strings.ToLower(q.Name)]
	switch {
	case !known:
		m.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypeA:
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(to)}}
	}
	_ = w.WriteMsg(m)
}

// process is a program that runs, and what it said.
type process struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
}

// Write implements io.Writer.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func run(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	must(t, p.cmd.Start())
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), p.said())
		}
	})
	return p
}

// stop ends the program and waits for its end; it may have been stopped already.
func (p *process) stop() {
	if p.cmd.ProcessState == nil && p.cmd.Process.Signal(syscall.SIGTERM) == nil {
		_ = p.cmd.Wait()
	}
}

// authority is Pebble at an address.
type authority struct {
	t          *testing.T
	at         string
	bin, conf  string
	web        *http.Client // that trusts its web server
	process    *process
	nameserver string
}

// newAuthority prepares one whose certificates last so many seconds; it does not run yet.
func newAuthority(t *testing.T, bin, at, dir string, seconds int) *authority {
	t.Helper()
	files := pki.In(dir)
	must(t, files.Ensure("ACME test", pki.Names{Hosts: []string{"ca.test"}, Addresses: []netip.Addr{netip.MustParseAddr(at)}}, time.Now()))
	a := &authority{t: t, at: at, bin: bin, conf: filepath.Join(dir, "pebble.json"), nameserver: at + ":5353"}
	text, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": at + ":14000", "managementListenAddress": at + ":15000", "certificate": files.Cert, "privateKey": files.Key,
		"httpPort": 5080, "tlsPort": 5443, "keyAlgorithm": "ecdsa", "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{"default": map[string]any{"description": "of this test", "validityPeriod": seconds}},
	}})
	must(t, err)
	must(t, os.WriteFile(a.conf, text, 0o600))
	pem, err := os.ReadFile(files.CA)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	a.web = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: patience}
	return a
}

// start starts it, and waits until it answers. A name that is checked is checked each time.
func (a *authority) start() {
	a.t.Helper()
	env := []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0"}
	a.process = run(a.t, env, a.bin, "-config", a.conf, "-dnsserver", a.nameserver)
	eventually(a.t, "Pebble", func() bool {
		r, err := a.web.Get("https://" + a.at + ":14000/dir")
		if err == nil {
			_ = r.Body.Close()
		}
		return err == nil
	})
}

// roots returns what a client must trust to believe its certificates.
func (a *authority) roots() *x509.CertPool {
	a.t.Helper()
	r, err := a.web.Get("https://" + a.at + ":15000/roots/0")
	must(a.t, err)
	defer r.Body.Close()
	pem, err := io.ReadAll(r.Body)
	must(a.t, err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		a.t.Fatalf("no root: %s", pem)
	}
	return pool
}
