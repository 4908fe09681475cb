// Package signin signs in to a whole server as clients do, over its real doors: with
// certificates, app passwords and what is left of them after a revocation.
package signin

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/kit/pki"
	"sallyport/internal/node"
	"sallyport/internal/operate"
)

const settings = `hostname = "mx.local.test"
data = "data"
[listen]
mx = ["127.0.0.1:0"]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
[tls]
cert = "tls/server.pem"
key = "tls/server.key"
[domain."local.test"]
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
[hijack]
mode = "off"
`

const password = "correct horse battery"

// site is a server that runs.
type site struct {
	t     *testing.T
	dir   string
	node  *node.Node
	op    *operate.Operator
	roots *x509.CertPool
	addrs map[string]string

	networks int
}

// start starts one; change are texts of the settings and what stands in their place.
func start(t *testing.T, change ...string) *site {
	t.Helper()
	return startWith(t, node.Options{}, change...)
}

func startWith(t *testing.T, o node.Options, change ...string) *site {
	t.Helper()
	o.Version = "test"
	s := &site{t: t, dir: t.TempDir(), roots: x509.NewCertPool()}
	files := pki.In(filepath.Join(s.dir, "tls"))
	must(t, files.Ensure("signin test", pki.Names{Hosts: []string{"mx.local.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now()))
	text, err := os.ReadFile(files.CA)
	must(t, err)
	s.roots.AppendCertsFromPEM(text)
	path := filepath.Join(s.dir, "sallyport.toml")
	must(t, os.WriteFile(path, []byte(strings.NewReplacer(change...).Replace(settings)), 0o600))
	cfg, err := config.Load(path)
	must(t, err)
	s.node, err = node.Open(t.Context(), cfg, o)
	must(t, err)
	must(t, s.node.Listen(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.node.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-served)
		must(t, s.node.Close())
	})
	a := s.node.Addrs()
	s.addrs = map[string]string{"mx": a.MX[0], "submission": a.Submission[0], "submissions": a.Submissions[0]}
	s.op = s.node.Operator()
	for _, who := range []string{"alice@local.test", "bob@local.test"} {
		_, err := s.op.AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: who, Password: password, Role: "person"})
		must(t, err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// device is a certificate with its key, on disk too.
type device struct {
	pair      tls.Certificate
	pem       string
	file, key string
}

func (s *site) device(name string, change func(*x509.Certificate)) device {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(s.t, err)
	return s.certified(name, key, change)
}

func (s *site) certified(name string, key *ecdsa.PrivateKey, change func(*x509.Certificate)) device {
	s.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "alice@local.test"}, EmailAddresses: []string{"alice@local.test", "bob@local.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(s.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(s.t, err)
	d := device{pair: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem: pemOf(der)}
	d.file, d.key = filepath.Join(s.dir, name+".pem"), filepath.Join(s.dir, name+".key")
	must(s.t, os.WriteFile(d.file, []byte(d.pem), 0o600))
	must(s.t, os.WriteFile(d.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return d
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (s *site) enroll(account, name string, d device) operate.Credential {
	s.t.Helper()
	c, err := s.op.CertEnroll(s.t.Context(), operate.Self(), operate.CertEnroll{Account: account, Name: name, Certificate: d.pem, Scope: "send,receive"})
	must(s.t, err)
	return c
}

func (s *site) signsInWith(account, policy string, alone bool) {
	s.t.Helper()
	_, err := s.op.AccountSignIn(s.t.Context(), operate.Self(), operate.AccountSignIn{Address: account, Policy: policy, Alone: alone})
	must(s.t, err)
}

// raw connects from a network of its own, so that no test is bounded by the guesses of another.
func (s *site) raw(addr string) net.Conn {
	s.t.Helper()
	s.networks++
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 20, byte(s.networks), 1)}}
	nc, err := from.Dial("tcp", addr)
	must(s.t, err)
	s.t.Cleanup(func() { nc.Close() })
	must(s.t, nc.SetDeadline(time.Now().Add(30*time.Second)))
	return nc
}

// client is a connection to a door, under TLS and behind EHLO.
type client struct {
	t     *testing.T
	nc    net.Conn
	br    *bufio.Reader
	hello string
}

// dial connects to a door with a certificate; asked says whether it was asked for one.
func (s *site) dial(door string, d *device, more ...func(*tls.Config)) (c *client, asked bool) {
	s.t.Helper()
	raw := s.raw(s.addrs[door])
	clear := &client{t: s.t, nc: raw, br: bufio.NewReader(raw)}
	if door != "submissions" {
		clear.expect("220")
		fmt.Fprintf(raw, "EHLO client.test\r\n")
		clear.expect("250")
		fmt.Fprintf(raw, "STARTTLS\r\n")
		clear.expect("220")
	}
	cfg := &tls.Config{RootCAs: s.roots, ServerName: "mx.local.test", GetClientCertificate: func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if asked = true; len(r.AcceptableCAs) != 0 {
			s.t.Errorf("%s: a list of authorities keeps clients from showing anything", door)
		}
		if d == nil {
			return &tls.Certificate{}, nil
		}
		return &d.pair, nil
	}}
	for _, m := range more {
		m(cfg)
	}
	nc := tls.Client(raw, cfg)
	must(s.t, nc.Handshake())
	c = &client{t: s.t, nc: nc, br: bufio.NewReader(nc)}
	if door == "submissions" {
		c.expect("220")
	}
	c.hello = c.say("EHLO client.test", "250")
	return c, asked
}

// expect reads one reply, which must begin with want.
func (c *client) expect(want string) string {
	c.t.Helper()
	var all strings.Builder
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			c.t.Fatalf("%v, want %s; so far %q", err, want, all.String())
		}
		all.WriteString(line)
		if len(line) > 3 && line[3] == ' ' {
			break
		}
	}
	if !strings.HasPrefix(all.String(), want) {
		c.t.Errorf("%q, want %s", all.String(), want)
	}
	return all.String()
}

func (c *client) say(line, want string) string {
	c.t.Helper()
	fmt.Fprintf(c.nc, "%s\r\n", line)
	return c.expect(want)
}

// state is that of the TLS connection.
func (c *client) state() tls.ConnectionState { return c.nc.(*tls.Conn).ConnectionState() }

func (c *client) offers(mechanism string) bool { return strings.Contains(c.hello, " "+mechanism) }

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// The certificate is asked for where our people sign in, by no list of authorities, never at
// mx; and only who shows one of an account is offered EXTERNAL. Rows I03, I04, I14.
func TestWhoIsAskedAndOffered(t *testing.T) {
	t.Parallel()
	s := start(t)
	good := s.device("good", nil)
	s.enroll("alice@local.test", "laptop", good)
	ended := s.certified("ended", good.pair.PrivateKey.(*ecdsa.PrivateKey), func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(0, 0, -2), time.Now().Add(-time.Minute)
	})
	early := s.certified("early", good.pair.PrivateKey.(*ecdsa.PrivateKey), func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	stranger := s.device("stranger", nil)
	for _, door := range []string{"submission", "submissions"} {
		for what, d := range map[string]*device{"none": nil, "stranger's": &stranger, "ended": &ended, "early": &early, "good": &good} {
			c, asked := s.dial(door, d)
			if !asked || c.offers("EXTERNAL") != (what == "good") || !c.offers("PLAIN") || !c.offers("LOGIN") || !c.offers("SCRAM-SHA-256") {
				t.Errorf("%s, %s: asked %v, offered %q", door, what, asked, c.hello)
			}
			if what == "good" {
				continue
			}
			// Whoever holds an enrolled key is told why its certificate is none; others nothing.
			why := map[string]string{"ended": ": the certificate ended on ", "early": ": the certificate is not valid before "}[what]
			for _, said := range []string{c.say("AUTH EXTERNAL =", "504"), c.say("MAIL FROM:<alice@local.test>", "530")} {
				if strings.Contains(said, ": the certificate") != (why != "") || !strings.Contains(said, why) {
					t.Errorf("%s: %q, want in it %q", what, said, why)
				}
			}
			c.say("AUTH PLAIN "+b64("\x00bob@local.test\x00"+password), "235")
		}
	}
	c, asked := s.dial("mx", &good)
	if asked || c.offers("AUTH") {
		t.Errorf("mx: asked %v, offered %q", asked, c.hello)
	}
	c.say("AUTH EXTERNAL =", "50")
	c.say("MAIL FROM:<x@remote.test>", "250")
	c.say("RCPT TO:<victim@elsewhere.test>", "550")
}

// Every form of an empty response that clients send, and of an identity. Rows I18, H16.
func TestExternalDialogues(t *testing.T) {
	t.Parallel()
	s := start(t)
	laptop := s.device("laptop", nil)
	s.enroll("alice@local.test", "laptop", laptop)
	for name, lines := range map[string][]string{
		"= on the line":            {"AUTH EXTERNAL =|235"},
		"bare, then an empty line": {"AUTH EXTERNAL|334 ", "|235"},
		"bare, then =":             {"AUTH EXTERNAL|334 ", "=|235"},
		"a trailing blank":         {"AUTH EXTERNAL |334 ", "|235"},
		"the account on the line":  {"AUTH EXTERNAL " + b64("alice@local.test") + "|235"},
		"the account after 334":    {"AUTH EXTERNAL|334 ", b64("Alice@LOCAL.test") + "|235"},
		"another account":          {"AUTH EXTERNAL " + b64("bob@local.test") + "|535 5.7.8 this certificate belongs to another account than the user name says; set no user name"},
		"the system's login name":  {"AUTH EXTERNAL|334 ", b64("root") + "|535 5.7.8 this certificate belongs"},
		"MAIL for a response":      {"AUTH EXTERNAL|334 ", "MAIL FROM:<alice@local.test>|501"},
		"cancelled":                {"AUTH EXTERNAL|334 ", "*|501"},
		"a right password beside it, of another account": {"AUTH PLAIN " + b64("\x00bob@local.test\x00"+password) + "|235"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := s.dial("submissions", &laptop)
			c.t = t
			last := ""
			for _, l := range lines {
				line, want, _ := strings.Cut(l, "|")
				last = c.say(line, want)
			}
			who := "alice"
			if strings.Contains(name, "of another account") {
				who = "bob"
			}
			if !strings.HasPrefix(last, "235") {
				c.say("MAIL FROM:<alice@local.test>", "530")
				return
			}
			c.say("AUTH EXTERNAL =", "503")
			c.say("MAIL FROM:<"+who+"@local.test>", "250")
			c.say("RSET", "250")
			if who == "alice" { // I13
				c.say("MAIL FROM:<bob@local.test>", "553")
			}
		})
	}
}

// A revocation, a freeze or another way to sign in ends the sessions of what fell within a
// second, and holds for a TLS session that is resumed from before. Row I15.
func TestRevocationsAreImmediate(t *testing.T) {
	t.Parallel()
	s := start(t)
	laptop, phone := s.device("laptop", nil), s.device("phone", nil)
	cert := s.enroll("alice@local.test", "laptop", laptop)
	s.enroll("alice@local.test", "phone", phone)
	app, err := s.op.AppAdd(t.Context(), operate.Self(), operate.AppAdd{Account: "alice@local.test", Name: "scanner", Scope: "send"})
	must(t, err)
	cache := tls.NewLRUClientSessionCache(4)
	resuming := func(c *tls.Config) { c.ClientSessionCache = cache }
	live, _ := s.dial("submissions", &laptop, resuming)
	live.say("AUTH EXTERNAL =", "235")
	other, _ := s.dial("submission", &phone)
	other.say("AUTH EXTERNAL =", "235")
	scanner, _ := s.dial("submissions", nil)
	scanner.say("AUTH PLAIN "+b64("\x00alice@local.test\x00"+app.Password), "235")

	began := time.Now()
	gone, err := s.op.CertRevoke(t.Context(), operate.Self(), operate.CredentialRef{Account: "alice@local.test", Credential: cert.ID})
	must(t, err)
	live.expect("421")
	if took := time.Since(began); took > time.Second || gone.SessionsEnded != 1 {
		t.Errorf("%d sessions ended in %v", gone.SessionsEnded, took)
	}
	again, _ := s.dial("submissions", &laptop, resuming)
	if !again.state().DidResume || len(again.state().PeerCertificates) == 0 {
		t.Error("the TLS session was not resumed: the test shows nothing")
	}
	if again.offers("EXTERNAL") {
		t.Errorf("a revoked certificate is offered %q", again.hello)
	}
	again.say("AUTH EXTERNAL =", "504")
	again.say("MAIL FROM:<alice@local.test>", "530")
	other.say("MAIL FROM:<alice@local.test>", "250")
	scanner.say("MAIL FROM:<alice@local.test>", "250")

	_, err = s.op.AppRemove(t.Context(), operate.Self(), operate.CredentialRef{Account: "alice@local.test", Credential: "scanner"})
	must(t, err)
	scanner.expect("421")
	other.say("RCPT TO:<bob@local.test>", "250")
	_, err = s.op.AccountPassword(t.Context(), operate.Self(), operate.AccountPassword{Address: "alice@local.test", Password: "another horse battery"})
	must(t, err)
	other.say("RSET", "250")
	_, err = s.op.AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test", Reason: "stolen"})
	must(t, err)
	other.expect("421")
}

// A session ends with the time of what it was signed in with: of the certificate, of its
// enrolment, of an app password, by AUTH and without. Others of the account go on.
func TestSessionsEndWithTheTimeOfWhatTheyRestOn(t *testing.T) {
	s := start(t)
	soon := s.device("soon", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(4 * time.Second) })
	laptop := s.device("laptop", nil)
	s.enroll("alice@local.test", "soon", soon)
	_, err := s.op.CertEnroll(t.Context(), operate.Self(), operate.CertEnroll{
		Account: "alice@local.test", Name: "visit", Certificate: laptop.pem, Scope: "send",
		Lasts: 4 * time.Second,
	})
	must(t, err)
	app, err := s.op.AppAdd(t.Context(), operate.Self(), operate.AppAdd{Account: "alice@local.test", Name: "scanner", Scope: "send", Lasts: 4 * time.Second})
	must(t, err)
	s.signsInWith("alice@local.test", "any", true)
	stays, _ := s.dial("submissions", nil)
	stays.say("AUTH PLAIN "+b64("\x00alice@local.test\x00"+password), "235")
	var ending []*client
	for d, line := range map[*device]string{&soon: "AUTH EXTERNAL =", &laptop: "MAIL FROM:<alice@local.test>", nil: "AUTH PLAIN " + b64("\x00alice@local.test\x00"+app.Password)} {
		c, _ := s.dial("submissions", d)
		c.say(line, "2")
		ending = append(ending, c)
	}
	for _, c := range ending {
		c.expect("421")
	}
	stays.say("MAIL FROM:<alice@local.test>", "250")
	c, _ := s.dial("submissions", &laptop)
	if said := c.say("MAIL FROM:<alice@local.test>", "530"); !strings.Contains(said, "the enrolment of the certificate ended on") {
		t.Errorf("told %q", said)
	}
}

// With a certificate and without AUTH, where the account chose that; both together where it
// needs both. Rows I11, I12, I13.
func TestPolicies(t *testing.T) {
	t.Parallel()
	s := start(t)
	laptop := s.device("laptop", nil)
	s.enroll("alice@local.test", "laptop", laptop)
	plain := "AUTH PLAIN " + b64("\x00alice@local.test\x00"+password)

	s.signsInWith("alice@local.test", "both", false)
	c, _ := s.dial("submissions", &laptop)
	if c.offers("EXTERNAL") {
		t.Errorf("both: offered %q", c.hello)
	}
	c.say("MAIL FROM:<alice@local.test>", "530")
	c.say(plain, "235")
	c.say("MAIL FROM:<alice@local.test>", "250")
	c, _ = s.dial("submissions", nil)
	c.say(plain, "535")

	s.signsInWith("alice@local.test", "certificate", false)
	c, _ = s.dial("submissions", &laptop)
	c.say("MAIL FROM:<alice@local.test>", "530")
	c.say(plain, "535")

	s.signsInWith("alice@local.test", "certificate", true)
	for _, door := range []string{"submission", "submissions"} {
		c, _ = s.dial(door, &laptop)
		c.say("MAIL FROM:<bob@local.test>", "553")
		c.say("MAIL FROM:<alice@local.test>", "250")
		c.say("RCPT TO:<x@elsewhere.test>", "250")
		c.say("RSET", "250")
		c.say(plain, "503")
	}
	c, _ = s.dial("submissions", nil)
	c.say("MAIL FROM:<alice@local.test>", "530")
	c, _ = s.dial("mx", &laptop)
	c.say("MAIL FROM:<x@remote.test>", "250")
	c.say("RCPT TO:<x@elsewhere.test>", "550")
}

// openssl s_client signs in with a certificate, as an administrator would try it.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	s := start(t)
	laptop := s.device("laptop", nil)
	s.enroll("alice@local.test", "laptop", laptop)
	for _, door := range []string{"submissions", "submission"} {
		args := []string{"s_client", "-quiet", "-crlf", "-connect", s.addrs[door], "-cert", laptop.file, "-key", laptop.key, "-CAfile", filepath.Join(s.dir, "tls", "ca.pem")}
		if door == "submission" {
			args = append(args, "-starttls", "smtp")
		}
		cmd := exec.Command(path, args...)
		in, err := cmd.StdinPipe()
		must(t, err)
		var out bytes.Buffer
		cmd.Stdout = &out
		must(t, cmd.Start())
		for _, line := range []string{"EHLO openssl.test", "AUTH EXTERNAL =", "MAIL FROM:<alice@local.test>", "QUIT"} {
			time.Sleep(300 * time.Millisecond)
			fmt.Fprintln(in, line)
		}
		time.Sleep(300 * time.Millisecond)
		in.Close()
		_ = cmd.Wait()
		if got := out.String(); !strings.Contains(got, "235 2.7.0") || !strings.Contains(got, "250 2.1.0") {
			t.Errorf("%s: %s", door, got)
		}
	}
}
