// Package cloud follows the guide for devices in front of a cloud tenant, with the real program, a
// tenant that takes tokens alone, and a device that knows a user and a password.
package cloud

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/kit/pki"
	"sallyport/internal/nexthop/token/tenant"
	"sallyport/test/guide"
	"sallyport/test/load/rig"
	"sallyport/test/port"
)

const device = "printer-2f@devices.example.org"

// office is the place of the guide.
type office struct {
	*testing.T
	*tenant.Tenant
	guide           *guide.Guide
	dir, binary, at string
	roots           *x509.CertPool
	password        string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	binary, err := rig.Build(t.Context(), t.TempDir())
	must(t, err)
	o := &office{T: t, Tenant: tenant.New(t), guide: guide.Open(t, "cloud-tenant.md"), dir: t.TempDir(), binary: binary, at: port.Loopback(t)}
	o.certificate()
	o.file("tenant.secret", tenant.Secret+"\n")
	text := guide.Replaced(t, o.guide.Block("toml", 0),
		`submission  = ["0.0.0.0:587"]`, fmt.Sprintf("submission = [%q]", port.Loopback(t)), "0.0.0.0:465", o.at,
		"smtp.office365.com:587", o.SMTP, `"devices@example.org"`, fmt.Sprintf("%q", tenant.User),
		"https://login.microsoftonline.com/TENANT_ID/oauth2/v2.0/token", o.Token, "CLIENT_ID", tenant.Client,
		"connections        = 3\n", fmt.Sprintf("connections = 3\nca = %q\ntoken_ca = %q\n", o.CA, o.CA))
	o.file("sallyport.toml", "hostname = \"mx.example.org\"\ndata = \"data\"\n"+text+"\n[retry]\nfirst = \"1s\"\nmax = \"2s\"\n[auth]\nargon_memory = \"8MiB\"\n")
	return o
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (o *office) file(name, text string) {
	o.Helper()
	must(o.T, os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o600))
}

// certificate makes mx.pem and mx.key.
func (o *office) certificate() {
	o.Helper()
	files := pki.In(o.dir)
	files.Cert, files.Key = filepath.Join(o.dir, "mx.pem"), filepath.Join(o.dir, "mx.key")
	must(o.T, files.Ensure("the office", pki.Names{Hosts: []string{"mx.example.org"}}, time.Now()))
	pem, err := os.ReadFile(files.CA)
	must(o.T, err)
	o.roots = x509.NewCertPool()
	o.roots.AppendCertsFromPEM(pem)
}

// sh runs what the guide shows, as the guide shows it.
func (o *office) sh(script string) string {
	o.Helper()
	cmd := exec.Command("sh", "-e", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(o.binary)+":"+os.Getenv("PATH"), "SALLYPORT_CONFIG="+filepath.Join(o.dir, "sallyport.toml"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.Logf("%s: %v", script, err)
	}
	return string(out)
}

// serve runs the server until the test ends.
func (o *office) serve() {
	o.Helper()
	log, err := os.Create(filepath.Join(o.dir, "log"))
	must(o.T, err)
	cmd := exec.Command(o.binary, "serve", "-c", filepath.Join(o.dir, "sallyport.toml"))
	cmd.Stdout, cmd.Stderr = log, log
	must(o.T, cmd.Start())
	o.Cleanup(sync.OnceFunc(func() {
		must(o.T, cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && o.Failed() {
			o.Logf("%s", text)
		}
	}))
	o.eventually("the server answers", func() bool {
		nc, err := net.Dial("tcp", o.at)
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
}

func (o *office) eventually(what string, ok func() bool) {
	o.Helper()
	for until := time.Now().Add(30 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			o.Fatalf("it never came to be: %s", what)
		}
	}
}

// send is the device.
func (o *office) send(from, subject string) error {
	nc, err := tls.Dial("tcp", o.at, &tls.Config{RootCAs: o.roots, ServerName: "mx.example.org"})
	if err != nil {
		return err
	}
	c, err := smtp.NewClient(nc, "mx.example.org")
	if err != nil {
		return err
	}
	defer c.Close()
	for _, step := range []func() error{
		func() error { return c.Auth(smtp.PlainAuth("", device, o.password, "mx.example.org")) },
		func() error { return c.Mail(from) },
		func() error { return c.Rcpt("alice@example.org") },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "From: <%s>\r\nTo: <alice@example.org>\r\nSubject: %s\r\n\r\na scan\r\n", from, subject); err != nil {
		return err
	}
	return w.Close()
}

// arrives waits for a message at the tenant.
func (o *office) arrives(subject string) (m tenant.Message) {
	o.Helper()
	o.eventually(subject+" arrives", func() bool {
		for _, m = range o.Took() {
			if strings.Contains(m.Text, "Subject: "+subject+"\r\n") {
				return true
			}
		}
		return false
	})
	return m
}

func (o *office) want(text, words string) {
	o.Helper()
	if !strings.Contains(text, words) {
		o.Errorf("%q is not in:\n%s", words, text)
	}
}

// The guide from its configuration to its device; then a token ends in the middle of a
// connection, and at last the tenant takes none any more.
func TestDevicesInFrontOfATenant(t *testing.T) {
	o := newOffice(t)
	o.Set(func(e *tenant.Tenant) { e.Life = 5 * time.Second })
	block := func(name string) string { return o.guide.Block(name, 0) }
	o.serve()
	check, doctor, _ := strings.Cut(block("check"), "\n")
	o.want(o.sh(check), "syntax and meaning: fine")
	o.want(o.sh(strings.TrimSpace(doctor)+" --all"), "tokens: route *: "+strings.TrimSuffix(strings.TrimPrefix(o.Token, "https://"), "/oauth2/v2.0/token")+" gives a token")
	made := o.sh(guide.Replaced(t, block("account"), "10.2.0.0/24", "127.0.0.0/8"))
	found := regexp.MustCompile(`password: (\S+)`).FindStringSubmatch(made)
	if found == nil {
		t.Fatalf("no password is printed:\n%s", made)
	}
	o.password = found[1]

	must(t, o.send(device, "first"))
	if m := o.arrives("first"); m.From != device || m.To != "alice@example.org" {
		t.Errorf("%+v", m)
	}
	if err := o.send("boss@example.org", "forged"); err == nil || !strings.Contains(err.Error(), "553") {
		t.Errorf("somebody else's address: %v", err)
	}
	time.Sleep(5 * time.Second) // the token ends, and the connection is kept
	must(t, o.send(device, "second"))
	first, second := o.Took()[0].Token, o.arrives("second").Token
	if got := strings.Join(o.Denied(), " "); got != "MAIL" || first == second {
		t.Errorf("denied at %q, tokens %s and %s", got, first, second)
	}

	time.Sleep(5 * time.Second)
	o.RefuseTokens(true)
	must(t, o.send(device, "third"))
	o.eventually("it is told", func() bool { return strings.Contains(o.sh("sallyport status"), "mail waits for a token since") })
	look := o.sh(block("look"))
	o.want(look, "route     *: mail waits for a token since")
	o.want(look, "the next hop does not take the token")
	o.want(look, "1 message")
	o.want(o.sh("sallyport doctor"), "wrong    tokens: route *: the server has no token that is taken")
	o.want(o.sh("sallyport trace --kind ALARM"), "next-hop-token")
	o.guide.EveryCommand(nil)
	o.sh(o.guide.Command("sallyport account freeze printer-2f@devices.example.org"))
	if err := o.send(device, "stolen"); err == nil || !strings.HasPrefix(err.Error(), "535 ") {
		t.Errorf("a stolen device: %v", err)
	}
	for _, secret := range []string{tenant.Secret, second, o.password} {
		text, err := os.ReadFile(filepath.Join(o.dir, "log"))
		must(t, err)
		if strings.Contains(string(text)+look, secret) {
			t.Errorf("a secret is told: %s", secret)
		}
	}
}
