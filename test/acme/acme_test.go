package acme

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/operate"
)

const password = "correct horse battery"

// site is a server, its authority and its name server, at one address.
type site struct {
	t         *testing.T
	at        string
	dir       string
	bin, conf string
	ca        *authority
	names     *names
	server    *process
}

// newSite prepares a site with the account alice; nothing but the name server runs.
func newSite(t *testing.T, p programs, index, seconds int, more string) *site {
	t.Helper()
	s := &site{t: t, at: place(index), dir: t.TempDir(), bin: p.sallyport}
	s.conf = filepath.Join(s.dir, "sallyport.toml")
	s.ca = newAuthority(t, p.pebble, s.at, s.dir, seconds)
	s.names = serveNames(t, s.at+":5353")
	s.configure(more)
	s.command(password+"\n", "account", "add", "alice@local.test", "--password-stdin")
	return s
}

// configure writes the configuration, with more in [acme] and behind.
func (s *site) configure(more string) {
	s.t.Helper()
	must(s.t, os.WriteFile(s.conf, fmt.Appendf(nil, `hostname = "mx.local.test"
data = "data"
[listen]
mx = ["%[1]s:2525"]
submission = ["%[1]s:2587"]
submissions = ["%[1]s:2465"]
[mx]
dns = ["%[1]s:5353"]
[domain."local.test"]
deliver = "maildir"
[domain."second.test"]
deliver = "maildir"
[limits]
greet_delay = "0s"
min_free = "1MiB"
[auth]
argon_memory = "8MiB"
argon_rounds = 1
scram_rounds = 4096
[authentication]
check = "off"
[acme]
agree = "yes"
directory = "https://%[1]s:14000/dir"
ca = "ca.pem"
%[2]s`, s.at, more), 0o600))
}

// serve starts the server and waits until its doors are open, and the operator's socket
// behind them: before, a command would open the data folder itself.
func (s *site) serve() {
	s.t.Helper()
	s.server = run(s.t, nil, s.bin, "serve", "-c", s.conf)
	eventually(s.t, "the server", func() bool {
		c, err := net.Dial("unix", filepath.Join(s.dir, "data", "sallyport.sock"))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// command runs one that must succeed.
func (s *site) command(input string, args ...string) string {
	s.t.Helper()
	out, err := s.try(input, args...)
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

func (s *site) try(input string, args ...string) (string, error) {
	cmd := exec.Command(s.bin, append(args, "-c", s.conf)...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *site) status() operate.Status {
	s.t.Helper()
	var v operate.Status
	must(s.t, json.Unmarshal([]byte(s.command("", "status", "--json")), &v))
	if v.Health.Obtained == nil || v.Server == nil {
		s.t.Fatalf("status: %+v", v)
	}
	return v
}

// doctor returns what a doctor says of the certificate.
func (s *site) doctor() string {
	s.t.Helper()
	out, _ := s.try("", "doctor", "--all") // it finds other things wrong as well
	var all []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, " certificate: ") || strings.HasPrefix(line, " ") && len(all) > 0 && strings.Contains(all[len(all)-1], " certificate: ") {
			all = append(all, line)
		}
	}
	return strings.Join(all, "")
}

func (s *site) wantDoctor(want ...string) {
	s.t.Helper()
	said := s.doctor()
	for _, w := range want {
		if !strings.Contains(said, w) {
			s.t.Errorf("the doctor does not say %q:\n%s", w, said)
		}
	}
}

// failed waits until an attempt failed for a reason with these words, and returns it.
func (s *site) failed(words ...string) string {
	s.t.Helper()
	fault := ""
	eventually(s.t, "a failure that says "+strings.Join(words, ", "), func() bool {
		fault = s.status().Health.Obtained.Fault
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(fault, w) })
	})
	return fault
}

func (s *site) obtained() {
	s.t.Helper()
	eventually(s.t, "a certificate", func() bool { o := s.status().Health.Obtained; return o.Chain != "" && o.Fault == "" })
}

// closed checks that whoever would sign in is turned away, and that mail comes in.
func (s *site) closed() {
	s.t.Helper()
	for door, want := range map[string]string{"2587": "421 4.3.2 there is no certificate yet; try again later\r\n", "2465": ""} {
		c, err := net.Dial("tcp", s.at+":"+door)
		must(s.t, err)
		must(s.t, c.SetDeadline(time.Now().Add(patience)))
		said, err := io.ReadAll(c)
		if err != nil || string(said) != want {
			s.t.Errorf("%s says %q, %v", door, said, err)
		}
		must(s.t, c.Close())
	}
	c := s.session("2525", nil)
	if ok, _ := c.Extension("STARTTLS"); ok {
		s.t.Error("STARTTLS is offered without a certificate")
	}
	if ok, _ := c.Extension("AUTH"); ok {
		s.t.Error("a sign-in is offered in clear")
	}
	s.send(c, "eve@elsewhere.test")
}

// session begins one at a door; with implicit, under TLS from the first octet.
func (s *site) session(door string, implicit *tls.Config) *smtp.Client {
	s.t.Helper()
	c, err := (&net.Dialer{Timeout: patience}).DialContext(context.Background(), "tcp", s.at+":"+door)
	must(s.t, err)
	must(s.t, c.SetDeadline(time.Now().Add(2*patience)))
	s.t.Cleanup(func() { _ = c.Close() })
	if implicit != nil {
		c = tls.Client(c, implicit)
	}
	client, err := smtp.NewClient(c, "mx.local.test")
	must(s.t, err)
	must(s.t, client.Hello("client.test"))
	return client
}

// secure begins a session at the door submission and puts TLS on it.
func (s *site) secure(trust *tls.Config) *smtp.Client {
	s.t.Helper()
	c := s.session("2587", nil)
	must(s.t, c.StartTLS(trust))
	return c
}

func (s *site) signIn(c *smtp.Client) {
	s.t.Helper()
	must(s.t, c.Auth(smtp.PlainAuth("", "alice@local.test", password, "mx.local.test")))
}

func (s *site) send(c *smtp.Client, from string) {
	s.t.Helper()
	must(s.t, c.Mail(from))
	must(s.t, c.Rcpt("alice@local.test"))
	w, err := c.Data()
	must(s.t, err)
	_, err = fmt.Fprintf(w, "From: %s\r\nSubject: x\r\n\r\nHello.\r\n", from)
	must(s.t, err)
	must(s.t, w.Close())
	must(s.t, c.Quit())
}

func leafOf(t *testing.T, c *smtp.Client) *x509.Certificate {
	t.Helper()
	state, ok := c.TLSConnectionState()
	if !ok {
		t.Fatal("no TLS")
	}
	return state.PeerCertificates[0]
}

// The server and a real authority, over each of the two challenges.
func TestObtain(t *testing.T) {
	p := build(t)
	t.Run("http-01", func(t *testing.T) { t.Parallel(); overHTTP(t, p) })
	t.Run("tls-alpn-01", func(t *testing.T) { t.Parallel(); overTLSALPN(t, p) })
}

// An authority that cannot be reached, and names that lead elsewhere, leave a server that
// takes mail, turns away whoever would sign in, and says why; when they come right it has
// its certificate, and keeps it through a restart.
func overHTTP(t *testing.T, p programs) {
	at := place(0)
	s := newSite(t, p, 0, 90*24*3600,
		fmt.Sprintf("listen = [%q]\ncontact = \"alice@local.test\"\nnames = [\"smtp.local.test\"]\n[tls_policy]\nlisten = [%q]\n", at+":5080", at+":8443"))
	s.serve()
	s.failed(s.at+":14000", "connection refused")
	s.closed()
	s.wantDoctor("wrong ", "no certificate was obtained yet, so that nobody can sign in", "connection refused", "sallyport reload", "next attempt")
	if said := s.command("", "status"); !strings.Contains(said, "there is no certificate yet: no STARTTLS, and nobody can sign in") || !strings.Contains(said, "connection refused") {
		t.Errorf("status: %s", said)
	}

	// The authority is there, and a name leads to a web server that knows nothing of it.
	s.ca.start()
	other, err := net.Listen("tcp4", place(2)+":5080")
	must(t, err)
	t.Cleanup(func() { _ = other.Close() })
	go func() {
		_ = http.Serve(other, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	}()
	s.names.lead("mx.local.test", s.at)
	s.names.lead("smtp.local.test", place(2))
	s.names.lead("mta-sts.local.test", s.at)
	s.command("", "reload")
	fault := s.failed("solving challenge: smtp.local.test", "unauthorized")
	if !strings.Contains(s.server.said(), "no certificate was obtained") {
		t.Errorf("nothing in the log of: %s", fault)
	}
	s.closed()
	s.wantDoctor("smtp.local.test")

	s.names.lead("smtp.local.test", s.at)
	s.command("", "reload")
	s.obtained()
	trust := &tls.Config{RootCAs: s.ca.roots(), ServerName: "mx.local.test"}
	c := s.secure(trust)
	leaf := leafOf(t, c)
	// The name of the policy that leads here is there without being asked for.
	if want := []string{"mta-sts.local.test", "mx.local.test", "smtp.local.test"}; !slices.Equal(sorted(leaf.DNSNames), want) {
		t.Errorf("names %v, want %v", leaf.DNSNames, want)
	}
	s.signIn(c)
	s.send(c, "alice@local.test")
	c = s.session("2465", trust)
	s.signIn(c)
	s.send(c, "alice@local.test")
	s.onlyChallenges()
	// Clients must know this authority, as the doctor says.
	s.wantDoctor("is valid until "+leaf.NotAfter.UTC().Format(time.DateOnly), "would not be trusted by clients")
	s.server.stop()
	s.ca.process.stop()
	s.serve()
	if again := leafOf(t, s.secure(trust)); !again.Equal(leaf) {
		t.Error("the certificate did not outlive the restart")
	}
	s.private()
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}

// onlyChallenges checks that the listener answers nothing else, and repeats nothing.
func (s *site) onlyChallenges() {
	s.t.Helper()
	for _, path := range []string{"/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/token", "/.well-known/../../etc/passwd"} {
		r, err := http.Get("http://" + s.at + ":5080" + path)
		must(s.t, err)
		body, err := io.ReadAll(r.Body)
		must(s.t, err)
		_ = r.Body.Close()
		if r.StatusCode != http.StatusNotFound || bytes.Contains(body, []byte("token")) {
			s.t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
}

// private checks that nobody else may enter the folder with the keys.
func (s *site) private() {
	s.t.Helper()
	info, err := os.Stat(filepath.Join(s.dir, "data"))
	must(s.t, err)
	if info.Mode().Perm() != 0o700 {
		s.t.Errorf("the data folder has the mode %v", info.Mode())
	}
}

// A certificate that lasts for seconds is renewed again and again, without a restart; a
// session that began before keeps what it saw. A name that is added is obtained.
func overTLSALPN(t *testing.T, p programs) {
	more := fmt.Sprintf("challenge = \"tls-alpn-01\"\nlisten = [\"%s:5443\"]\n", place(1))
	s := newSite(t, p, 1, 12, more)
	s.ca.start()
	s.names.lead("mx.local.test", s.at)
	s.names.lead("smtp.local.test", s.at)
	s.serve()
	s.obtained()
	before := s.status()
	// Judged when it began: on a busy host it may have ended when it is seen.
	roots := s.ca.roots()
	trust := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(c tls.ConnectionState) error {
		leaf, between := c.PeerCertificates[0], x509.NewCertPool()
		for _, one := range c.PeerCertificates[1:] {
			between.AddCert(one)
		}
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "mx.local.test", CurrentTime: leaf.NotBefore})
		return err
	}}
	early := s.secure(trust)
	first := leafOf(t, early)
	eventually(t, "a renewed certificate", func() bool {
		c := s.secure(trust)
		defer c.Close()
		return !leafOf(t, c).Equal(first)
	})
	s.signIn(early)
	s.send(early, "alice@local.test")
	c := s.session("2465", trust)
	s.signIn(c)
	s.send(c, "alice@local.test")

	s.configure(more + "names = [\"smtp.local.test\"]\n")
	if out := s.command("", "reload"); strings.Contains(out, "restart") {
		t.Errorf("reload: %s", out)
	}
	eventually(t, "the name that was added", func() bool {
		c := s.secure(trust)
		defer c.Close()
		return leafOf(t, c).VerifyHostname("smtp.local.test") == nil
	})
	if after := s.status(); after.Server.PID != before.Server.PID || !after.Server.Started.Equal(before.Server.Started) {
		t.Errorf("the server is another one: %+v, before %+v", after.Server, before.Server)
	}
	s.noOtherHandshake()
}

// noOtherHandshake checks that the listener of challenges completes no other handshake.
func (s *site) noOtherHandshake() {
	s.t.Helper()
	for _, protocols := range [][]string{nil, {"http/1.1"}, {"acme-tls/1", "http/1.1"}, {"acme-tls/1"}} {
		c, err := net.Dial("tcp", s.at+":5443")
		must(s.t, err)
		must(s.t, c.SetDeadline(time.Now().Add(patience)))
		if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "mx.local.test", NextProtos: protocols}).Handshake(); err == nil {
			s.t.Errorf("a handshake for %v was completed", protocols)
		}
		must(s.t, c.Close())
	}
	c, err := net.Dial("tcp", s.at+":5443")
	must(s.t, err)
	defer c.Close()
	must(s.t, c.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: mx.local.test\r\n\r\n")
	must(s.t, err)
	if line, _ := bufio.NewReader(c).ReadString('\n'); strings.Contains(line, " 200 ") {
		s.t.Errorf("clear text is answered: %q", line)
	}
}
