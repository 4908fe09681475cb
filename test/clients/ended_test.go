package clients

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// talk is a program that runs, to be spoken to.
type talk struct {
	t    *testing.T
	in   io.WriteCloser
	out  *tail
	done chan error
}

func start(t *testing.T, dir, name string, args ...string) *talk {
	t.Helper()
	cmd := exec.Command(Tool(t, name), args...)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	k := &talk{t: t, in: in, out: &tail{max: 64 << 10}, done: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = k.out, k.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	go func() { k.done <- cmd.Wait() }()
	return k
}

func (k *talk) says(text string) { _, _ = io.WriteString(k.in, text) }

// hears waits until the program printed something.
func (k *talk) hears(pattern string) {
	k.t.Helper()
	k.until("it prints "+pattern, func() bool { return regexp.MustCompile(pattern).MatchString(k.out.String()) })
}

func (k *talk) until(what string, ok func() bool) {
	k.t.Helper()
	for range 300 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	k.t.Fatalf("never: %s; it printed\n%s", what, k.out)
}

// ends waits for the end of the program.
func (k *talk) ends() error {
	k.t.Helper()
	select {
	case err := <-k.done:
		return err
	case <-time.After(20 * time.Second):
		k.t.Fatalf("it goes on and on; it printed\n%s", k.out)
		return nil
	}
}

// ended is an account with certificates that come to an end.
type ended struct {
	*world
	t     *testing.T
	alice string
}

func endings(t *testing.T) ended {
	w := &world{s: Start(t), dir: t.TempDir()}
	return ended{w, t, w.s.Account("alice").Address}
}

// device issues a certificate of its own for one program.
func (e ended) device(name string) (pem string) {
	e.t.Helper()
	Run(e.t, nil, e.s.Binary, "cert", "issue", e.alice, name, "--as", "pem", "--dir", e.dir, "-c", e.s.Config)
	return filepath.Join(e.dir, e.alice+"-"+name+".pem")
}

func (e ended) revoke(name string) {
	e.t.Helper()
	Run(e.t, nil, e.s.Binary, "cert", "revoke", e.alice, name, "-c", e.s.Config)
}

// expired enrols a key with a certificate that is good, and gives another of the same key that ended.
func (e ended) expired(name string) (file string) {
	e.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		e.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		e.t.Fatal(err)
	}
	file = filepath.Join(e.dir, name+".pem")
	for _, end := range []time.Duration{24 * time.Hour, -time.Hour} {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(end),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		if err != nil {
			e.t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if end < 0 { // the key comes first, as Postfix wants it
			text = append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), text...)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			e.t.Fatal(err)
		}
		if end > 0 {
			Run(e.t, nil, e.s.Binary, "cert", "enroll", e.alice, name, file, "-c", e.s.Config)
		}
	}
	return file
}

// signedIn waits until the account has signed in since then.
func (e ended) signedIn(k *talk, since time.Time) {
	e.t.Helper()
	k.until("it signs in", func() bool { return len(e.signIns(e.t, e.alice, since)) > 0 })
}

// cutOff runs a program to where it is signed in, revokes its certificate, and lets it go on.
// Nothing of what it had under way may arrive.
func (e ended) cutOff(t *testing.T, name string, run func(t *testing.T, pem string, m sent) (k *talk, rest string)) *talk {
	t.Helper()
	m := compose(e.s, "cut-"+name+"-end", e.s.Account("bob").Address)
	began := time.Now()
	k, rest := run(t, e.device(name), m)
	e.signedIn(k, began)
	e.revoke(name)
	k.says(rest)
	_ = k.in.Close()
	if err := k.ends(); err == nil && name != "s-client" {
		t.Errorf("%s ends as if all were well:\n%s", name, k.out)
	}
	if search(e.s.Account("bob").Maildir, m.mark) != nil {
		t.Errorf("what %s sent arrived", name)
	}
	return k
}

const pythonHolds = `
import smtplib, ssl, sys
host, port, ca, pem, sender, to = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(pem)
smtp = smtplib.SMTP_SSL(host, int(port), context=context)
smtp.ehlo()
smtp.auth("EXTERNAL", lambda challenge=None: "")
sys.stdin.readline()
smtp.sendmail(sender, [to], "never")
`

// A certificate that is revoked ends what goes on with it, in the programs that people use.
func TestRevokedWhileConnected(t *testing.T) {
	e := endings(t)
	why := regexp.MustCompile(`421[ -]4\.\d+\.\d+ .+`)
	host, implicit, _ := strings.Cut(e.s.Submissions(), ":")
	_, starttls, _ := strings.Cut(e.s.Submission(), ":")
	half := func(m sent) (head, rest string) {
		text := strings.ReplaceAll(string(m.octets), "\r\n", "\n")
		at := strings.Index(text, "\n..\n") // in the body: msmtp reads the whole header before it connects
		return text[:at], text[at:]
	}
	t.Run("openssl s_client", func(t *testing.T) {
		began := time.Now()
		k := e.cutOff(t, "s-client", func(t *testing.T, pem string, m sent) (*talk, string) {
			k := start(t, e.dir, "openssl", "s_client", "-quiet", "-crlf", "-connect", e.s.Submissions(), "-cert", pem, "-key", pem, "-CAfile", e.s.CA)
			k.hears("220 ")
			k.says("EHLO openssl.test\n")
			k.hears("250 ")
			k.says("AUTH EXTERNAL =\n")
			k.hears("235 ")
			began = time.Now()
			return k, ""
		})
		if !why.MatchString(k.out.String()) {
			t.Errorf("it shows no reason:\n%s", k.out)
		}
		t.Logf("%s after %v", why.FindString(k.out.String()), time.Since(began))
	})
	t.Run("Python smtplib", func(t *testing.T) {
		k := e.cutOff(t, "python", func(t *testing.T, pem string, m sent) (*talk, string) {
			return start(t, e.dir, "python3", "-c", pythonHolds, host, implicit, e.s.CA, pem, m.from, m.to[0]), "\n"
		})
		if !strings.Contains(k.out.String(), "(421, b'4.") {
			t.Errorf("it shows no reason:\n%s", k.out)
		}
		t.Log(k.out)
	})
	t.Run("curl", func(t *testing.T) {
		k := e.cutOff(t, "curl", func(t *testing.T, pem string, m sent) (*talk, string) {
			k := start(t, e.dir, "curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", e.s.CA, "--url", "smtp://"+e.s.Submission(), "--cert", pem, "--user", e.alice+":", "--login-options", "AUTH=EXTERNAL",
				"--mail-from", m.from, "--mail-rcpt", m.to[0], "--upload-file", "-")
			head, rest := half(m)
			k.says(head)
			return k, rest
		})
		t.Log(k.out)
	})
	t.Run("msmtp", func(t *testing.T) {
		k := e.cutOff(t, "msmtp", func(t *testing.T, pem string, m sent) (*talk, string) {
			k := start(t, e.dir, "msmtp", "--host="+host, "--port="+starttls, "--tls=on", "--tls-starttls=on", "--tls-trust-file="+e.s.CA, "--tls-cert-file="+pem, "--tls-key-file="+pem,
				"--auth=external", "--user="+e.alice, "--from="+m.from, m.to[0])
			head, rest := half(m)
			k.says(head)
			return k, rest
		})
		if !strings.Contains(k.out.String(), "server message: ") {
			t.Errorf("it shows no reason:\n%s", k.out)
		}
		t.Log(k.out)
	})
}

// A certificate that ended is refused with the reason, in the reply and in the trace.
func TestAnEndedCertificate(t *testing.T) {
	e := endings(t)
	pem := e.expired("desk")
	host, implicit, _ := strings.Cut(e.s.Submissions(), ":")
	_, starttls, _ := strings.Cut(e.s.Submission(), ":")
	why := regexp.MustCompile(`504[ ',b]+5\.5\.4 .*the certificate ended on 20\d\d-`)
	m := compose(e.s, "ended-end", e.s.Account("bob").Address)
	k := start(t, e.dir, "openssl", "s_client", "-quiet", "-crlf", "-connect", e.s.Submissions(), "-cert", pem, "-key", pem, "-CAfile", e.s.CA)
	k.hears("220 ")
	k.says("EHLO openssl.test\n")
	k.hears("250 ")
	k.says("AUTH EXTERNAL =\n")
	k.hears(why.String())
	k.says("MAIL FROM:<" + e.alice + ">\n")
	k.hears(`530 5\.7\.0 .*the certificate ended on`)
	k.says("QUIT\n")
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"python3": {[]string{"-c", pythonHolds, host, implicit, e.s.CA, pem, m.from, m.to[0]}, why.String()},
		"curl": {[]string{"--silent", "--show-error", "--ssl-reqd", "--cacert", e.s.CA, "--url", "smtp://" + e.s.Submission(), "--cert", pem, "--user", e.alice + ":", "--login-options", "AUTH=EXTERNAL",
			"--mail-from", m.from, "--mail-rcpt", m.to[0], "--upload-file", "-"}, `curl: \(67\) `},
		"msmtp": {[]string{"--host=" + host, "--port=" + starttls, "--tls=on", "--tls-starttls=on", "--tls-trust-file=" + e.s.CA, "--tls-cert-file=" + pem, "--tls-key-file=" + pem,
			"--auth=external", "--user=" + e.alice, "--from=" + m.from, m.to[0]}, `the server does not support`},
	} {
		out, err := Try(t, m.octets, name, c.args...)
		if err == nil || !regexp.MustCompile(c.says).MatchString(out) {
			t.Errorf("%s: %v, and not %q:\n%s", name, err, c.says, out)
		}
		t.Logf("%s: %s", name, out)
	}
	if search(e.s.Account("bob").Maildir, m.mark) != nil {
		t.Error("it arrived")
	}
	trace := Run(t, nil, e.s.Binary, "trace", e.alice, "-c", e.s.Config)
	if !strings.Contains(trace, "the certificate ended on 20") {
		t.Errorf("the trace has no reason:\n%s", trace)
	}
}

// Postfix shows its certificate and just sends; what was revoked, or ended, it is told.
func TestPostfixWithACertificateThatEnds(t *testing.T) {
	if os.Getenv("SALLYPORT_CLIENTS") == "" {
		t.Skip("make clients runs it")
	}
	needsPostfix(t)
	e := endings(t)
	Run(t, nil, e.s.Binary, "account", "sign-in", e.alice, "certificate", "--without-auth", "-c", e.s.Config)
	with := func(pem string) relaying {
		return startPostfix(t, e.s.Submission(), fmt.Sprintf("smtp_tls_CAfile = %s\nsmtp_tls_chain_files = %s\n", e.s.CA, pem))
	}
	message := func(mark string) sent { return compose(e.s, mark, e.s.Account("bob").Address) }
	p := with(e.device("relay"))
	if got := p.send(t, message("relayed-end")); got != "sent" {
		t.Fatal(got)
	}
	find(t, e.s.Account("bob").Maildir, "relayed-end")
	e.revoke("relay")
	revoked := p.send(t, message("revoked-end"))
	if !strings.HasPrefix(revoked, "bounced (host 127.0.0.1[127.0.0.1] said: 530 5.7.0 ") {
		t.Errorf("revoked: %s", revoked)
	}
	over := with(e.expired("old")).send(t, message("expired-end"))
	if !strings.HasPrefix(over, "bounced (host 127.0.0.1[127.0.0.1] said: 530 5.7.0 ") || !strings.Contains(over, "the certificate ended on 20") {
		t.Errorf("expired: %s", over)
	}
	t.Logf("%s\n%s", revoked, over)
	for _, mark := range []string{"revoked-end", "expired-end"} {
		if search(e.s.Account("bob").Maildir, mark) != nil {
			t.Errorf("%s arrived", mark)
		}
	}
}
