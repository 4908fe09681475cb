package chain

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/test/guide"
)

// desk is a Dovecot whose users sign in at the server, as the guide says.
type desk struct {
	*wire
	guide   *guide.Guide
	s       *server
	dovecot *process
	conf    string
	crl     string // the authority and its list of revocations, as Dovecot reads them
}

// signsIn runs both as the guide says, word by word but for paths and names of this host. The group
// games stands for that of the guide.
func (w *wire) signsIn() *desk {
	w.t.Helper()
	d := &desk{wire: w, guide: guide.Open(w.t, "dovecot-signin.md"), crl: filepath.Join(w.dir, "dovecot/devices.pem")}
	key, kick := filepath.Join(w.dir, "kick.key"), filepath.Join(w.dir, "dovecot/kick.conf")
	must(w.t, os.MkdirAll(filepath.Dir(kick), 0o755))
	secret := guide.Replaced(w.t, d.guide.Block("", 1), "chown sallyport ", "chown root ", "/etc/sallyport/dovecot-kick.key", key, "/etc/dovecot/kick.conf", kick)
	if out, err := exec.Command("sh", "-eu", "-c", secret).CombinedOutput(); err != nil {
		w.t.Fatalf("%v\n%s\n%s", err, secret, out)
	}
	d.s = w.sallyport(guide.Replaced(w.t, d.guide.Block("toml", 0),
		"/run/sallyport/", filepath.Join(w.dir, "run")+"/", `"sallyport-signin"`, `"games"`,
		"/run/dovecot/", filepath.Join(w.dir, "dovecot/run")+"/", "/etc/sallyport/dovecot-kick.key", key))
	program, err := os.ReadFile(d.s.binary)
	must(w.t, err)
	own := filepath.Join(w.dir, "sallyport-program") // where Dovecot's user may run it
	must(w.t, os.WriteFile(own, program, 0o755))
	local := guide.Replaced(w.t, d.guide.Block("", 2), "/usr/bin/sallyport checkpassword", own+" checkpassword --socket "+filepath.Join(w.dir, "run/checkpassword.sock"),
		"uid=sallyport gid=sallyport", "uid=nobody gid=nogroup", "extra_groups = sallyport-signin", "extra_groups = games", "group = sallyport-signin", "group = games", "/etc/dovecot/kick.conf", kick)
	local += guide.Replaced(w.t, d.guide.Block("", 3), "/etc/dovecot/devices.pem", d.crl)
	mail, _, _ := w.owned("dovecot/mail", "nobody")
	d.conf = w.write("dovecot/dovecot.conf", fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = /dev/stderr
auth_debug = yes
protocols = imap
first_valid_uid = 1
mail_location = maildir:%[2]s/%%Ln
ssl = required
ssl_cert = <%[3]s/sallyport/cert.pem
ssl_key = <%[3]s/sallyport/key.pem
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  inet_listener imaps {
    address = %[4]s
    port = 993
  }
}
`, filepath.Join(w.dir, "dovecot"), mail, w.dir, hosts["dovecot"])+local)
	return d
}

// trusts gives Dovecot the authority and its list, as the guide's four lines do.
func (d *desk) trusts() {
	d.t.Helper()
	script := guide.Replaced(d.t, d.guide.Block("", 4), "/etc/dovecot/", filepath.Join(d.dir, "dovecot")+"/",
		"doveadm reload", "if test -n \"$RUNS\"; then doveadm -c "+d.conf+" reload; fi")
	cmd := exec.Command("sh", "-eu", "-c", "sallyport() { "+d.s.binary+" \"$@\" -c "+d.s.conf+"; }\n"+script)
	if cmd.Env = append(os.Environ(), "RUNS="); d.dovecot != nil {
		cmd.Env = append(os.Environ(), "RUNS=yes")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("%v\n%s", err, out)
	}
}

// reader is a connection to Dovecot.
type reader struct {
	nc *tls.Conn
	in *bufio.Reader
	n  int
}

func (d *desk) reader(host string, own ...tls.Certificate) *reader {
	d.t.Helper()
	raw, err := d.dial(host, hosts["dovecot"]+":993")
	must(d.t, err)
	d.t.Cleanup(func() { raw.Close() })
	must(d.t, raw.SetDeadline(time.Now().Add(40*time.Second)))
	c := &reader{nc: tls.Client(raw, &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if len(own) > 0 {
			return &own[0], nil // whatever authorities Dovecot names
		}
		return &tls.Certificate{}, nil
	}})}
	c.in = bufio.NewReader(c.nc)
	return c
}

// say gives a command and returns what answers it, or why nothing does.
func (c *reader) say(format string, args ...any) string {
	c.n++
	tag := fmt.Sprintf("a%d ", c.n)
	if _, err := fmt.Fprintf(c.nc, tag+format+"\r\n", args...); err != nil {
		return err.Error()
	}
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		if rest, ours := strings.CutPrefix(strings.TrimSpace(line), tag); ours {
			return rest
		}
	}
}

func (c *reader) login(user, password string) string { return c.say("LOGIN %q %q", user, password) }

// certificate signs in by the certificate that was shown.
func (c *reader) certificate() string {
	return c.say("AUTHENTICATE EXTERNAL %s", base64.StdEncoding.EncodeToString(nil)+"=")
}

const (
	in    = "OK "
	no    = "NO [AUTHENTICATIONFAILED]"
	later = "NO [UNAVAILABLE]"

	// elsewhere is the address of the host remote in another network.
	elsewhere = "10.99.0.5"
)

func (d *desk) expects(what, got, want string) {
	d.t.Helper()
	if !strings.HasPrefix(got, want) {
		d.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// device issues a certificate and returns it with its key.
func (d *desk) device(name string) tls.Certificate {
	d.t.Helper()
	d.s.command("cert", "issue", "alice@ours.test", name, "--as", "pem", "--dir", d.dir)
	file := filepath.Join(d.dir, "alice@ours.test-"+name+".pem")
	c, err := tls.LoadX509KeyPair(file, file)
	must(d.t, err)
	return c
}

// app makes an app password.
func (d *desk) app(name string, flags ...string) string {
	d.t.Helper()
	out := d.s.command(append([]string{"account", "app", "add", alice, name}, flags...)...)
	_, rest, found := strings.Cut(out, "password: ")
	if !found {
		d.t.Fatal(out)
	}
	secret, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(secret)
}

// Dovecot's users sign in here: what counts at our doors counts at Dovecot's, and what is taken back
// is taken back there too.
func TestDovecotSignsItsUsersInHere(t *testing.T) {
	w := newWire(t)
	d := w.signsIn()
	// The host remote reaches Dovecot from a network of its own.
	w.in("remote", "ip", "addr", "add", elsewhere+"/32", "dev", "eth0")
	w.in("remote", "ip", "route", "add", hosts["dovecot"]+"/32", "dev", "eth0", "src", elsewhere)
	w.in("dovecot", "ip", "route", "add", elsewhere+"/32", "dev", "eth0")
	laptop, phone := d.device("laptop"), d.device("phone")
	d.trusts()
	d.dovecot = w.start("dovecot", "dovecot", "-F", "-c", d.conf)
	eventually(t, "Dovecot answers", func() bool {
		nc, err := w.dial("client", hosts["dovecot"]+":993")
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
	d.passwords()
	d.certificates(laptop, phone)
	d.takesBack()
	d.guesses()
	d.s.p.stop()
	d.expects("without a server", d.reader("remote").login(alice, password), later)
	d.s.start()
	d.expects("with a server again", d.reader("remote").login(alice, password), in)
	d.guide.EveryCommand(map[string]string{"sallyport checkpassword": "Dovecot runs it, by the guide's local.conf"})
	asked := strings.Fields(d.guide.Command("sallyport trace ADDRESS", "ADDRESS", "alice@ours.test"))[1:]
	trace := d.s.command(append(asked, "--kind", "auth")...)
	for _, want := range []string{"checkpassword-imap", hosts["client"], elsewhere, "signin-ok", "signin-bad-password", "signin-scope", "signin-network", "signin-not-active", "EXTERNAL"} {
		if !strings.Contains(trace, want) {
			t.Errorf("the trace does not say %q:\n%s", want, trace)
		}
	}
	if strings.Contains(trace, hosts["dovecot"]) {
		t.Errorf("the trace takes Dovecot for the client:\n%s", trace)
	}
}

// passwords: each credential opens what it is for, from where it may be used.
func (d *desk) passwords() {
	d.t.Helper()
	c := d.reader("client")
	d.expects("the password", c.login(alice, password), in)
	d.expects("its mailbox", c.say("SELECT INBOX"), in)
	d.expects("in capitals", d.reader("client").login("ALICE@ours.test", password), in)
	d.expects("a wrong password", d.reader("client").login(alice, "wrong"), no)
	d.expects("an empty one", d.reader("client").login(alice, ""), no)
	d.expects("nobody", d.reader("client").login("nobody@ours.test", password), no)
	d.expects("an app password to receive", d.reader("client").login(alice, d.app("reads", "--scope", "receive")), in)
	d.expects("one to send alone", d.reader("client").login(alice, d.app("sends", "--scope", "send")), no)
	far := d.app("far", "--network", elsewhere+"/32")
	d.expects("one of another network", d.reader("client").login(alice, far), no)
	d.expects("the same from there", d.reader("remote").login(alice, far), in)
	brief := d.app("brief", "--scope", "receive", "--lasts", "4s")
	d.expects("one that has not ended", d.reader("client").login(alice, brief), in)
	time.Sleep(4500 * time.Millisecond)
	d.expects("one that has", d.reader("client").login(alice, brief), no)
	d.expects("without a certificate", d.reader("client").certificate(), no)
	if out, err := exec.Command("doveadm", "-c", d.conf, "auth", "test", "-x", "rip=192.0.2.7", "-x", "secured", "-x", "service=imap", alice, password).CombinedOutput(); err != nil {
		d.t.Errorf("doveadm auth test: %v\n%s", err, out)
	}
	for what, args := range map[string][]string{"another service": {"-x", "rip=192.0.2.7", "-x", "secured"}, "no address": {"-x", "service=imap", "-x", "secured"}, "in clear text": {"-x", "rip=192.0.2.7", "-x", "service=imap"}} {
		if out, err := exec.Command("doveadm", append([]string{"-c", d.conf, "auth", "test"}, append(args, alice, password)...)...).CombinedOutput(); err == nil {
			d.t.Errorf("%s: %s", what, out)
		}
	}
}

// certificates: one that Dovecot checked opens the mailbox, until the list says that it was revoked.
func (d *desk) certificates(laptop, phone tls.Certificate) {
	d.t.Helper()
	d.expects("a certificate", d.reader("client", laptop).certificate(), in)
	d.expects("another", d.reader("client", phone).certificate(), in)
	d.s.command("cert", "revoke", alice, "phone")
	d.trusts()
	eventually(d.t, "the revoked certificate opens nothing", func() bool {
		return !strings.HasPrefix(d.reader("client", phone).certificate(), in)
	})
	eventually(d.t, "the other one still does", func() bool { return strings.HasPrefix(d.reader("client", laptop).certificate(), in) })
	d.s.command("cert", "revoke", alice, "laptop")
	d.expects("the last one, before the list is loaded", d.reader("client", laptop).certificate(), no)
}

// takesBack: sessions end with what they rest on, and nobody signs in with it again.
func (d *desk) takesBack() {
	d.t.Helper()
	ends := func(what string, c *reader, act ...string) {
		d.t.Helper()
		d.expects(what+", before", c.say("NOOP"), in)
		d.s.command(act...)
		begun := time.Now()
		for line, err := "", error(nil); err == nil; line, err = c.in.ReadString('\n') {
			_ = line
		}
		if took := time.Since(begun); took > 5*time.Second {
			d.t.Errorf("%s: the session went on for %s", what, took)
		}
	}
	lost := d.app("lost", "--scope", "receive")
	c := d.reader("client")
	d.expects("the lost one", c.login(alice, lost), in)
	ends("an app password is revoked", c, "account", "app", "rm", alice, "lost")
	d.expects("a revoked one", d.reader("client").login(alice, lost), no)
	c = d.reader("client")
	d.expects("before the freeze", c.login(alice, password), in)
	ends("the account is frozen", c, "account", "freeze", alice, "--reason", "drill")
	d.expects("frozen", d.reader("client").login(alice, password), no)
	d.s.command("account", "thaw", alice)
	d.expects("thawed", d.reader("remote").login(alice, password), in)
}

// guesses: they are counted by the client's address, and by nobody else's.
func (d *desk) guesses() {
	d.t.Helper()
	limited := false
	for n := 0; n < 60 && !limited; n++ {
		limited = strings.HasPrefix(d.reader("client").login(alice, fmt.Sprint("wrong ", n)), later)
	}
	if !limited {
		d.t.Error("nobody who guesses is ever limited")
	}
	d.expects("the right password from the same network", d.reader("client").login(alice, password), later)
	d.expects("from another", d.reader("remote").login(alice, password), in)
}
