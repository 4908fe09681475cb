package moving

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
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"sallyport/test/load/rig"
	"sallyport/test/port"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a running server, and where its programs are.
type site struct {
	t testing.TB
	rig.Info
	binary string
	dir    string
	cmd    *exec.Cmd
	edited bool // the configuration is the test's own
}

// newSite starts `sallyport quickstart`.
func newSite(t testing.TB) *site {
	t.Helper()
	binary, err := rig.Build(t.Context(), t.TempDir())
	must(t, err)
	s := &site{t: t, binary: binary, dir: filepath.Join(t.TempDir(), "server")}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *site) start() {
	s.t.Helper()
	args := []string{"quickstart", "--json", "--hijack", "off", "--dir", s.dir, "--listen-base", "0"}
	if s.edited {
		args = []string{"quickstart", "--json", "--dir", s.dir}
	}
	s.cmd = exec.Command(s.binary, args...)
	log, err := os.OpenFile(filepath.Join(filepath.Dir(s.dir), "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(s.t, err)
	s.cmd.Stderr = log
	out, err := s.cmd.StdoutPipe()
	must(s.t, err)
	must(s.t, s.cmd.Start())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	must(s.t, err)
	must(s.t, json.Unmarshal(line, &s.Info))
	go func() { _, _ = io.Copy(io.Discard, out) }()
}

func (s *site) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// command is one of ours, on this server's configuration.
func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.binary, args...)
	cmd.Env = append(os.Environ(), "SALLYPORT_CONFIG="+s.Config)
	return cmd
}

// gives runs a command that must exit with a code, and returns what it wrote.
func (s *site) gives(code int, args ...string) string {
	s.t.Helper()
	out, err := s.command(args...).CombinedOutput()
	is := 0
	if err != nil {
		is = -1
		if e, ok := err.(*exec.ExitError); ok {
			is = e.ExitCode()
		}
	}
	if is != code {
		s.t.Fatalf("sallyport %s: exit code %d, want %d: %v\n%s", strings.Join(args, " "), is, code, err, out)
	}
	return string(out)
}

// box is bob's mailbox.
func (s *site) box() string { return s.account().Maildir }

func (s *site) account() rig.Account {
	for _, a := range s.Accounts {
		if strings.HasPrefix(a.Address, "bob@") {
			return a
		}
	}
	s.t.Fatal("there is no bob")
	return rig.Account{}
}

// imap signs bob in to a server at an address, with the TLS of an authority or none.
func signedIn(t testing.TB, address, ca, user, password string, o *imapclient.Options) *imapclient.Client {
	t.Helper()
	pem, err := os.ReadFile(ca)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "localhost", InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", address)
	must(t, err)
	c := imapclient.New(conn, o)
	must(t, c.Login(user, password).Wait())
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// dovecot is Debian's, with mailboxes of its own.
type dovecot struct {
	dir      string
	address  string // imaps
	clear    string // imap with STARTTLS
	ca       string // the certificate, which signed itself
	password string
	master   string
}

// newDovecot runs a Dovecot in which each user is who has a folder below dir/mail, which may hold
// a Maildir or, for those called mbox-…, mbox files.
func newDovecot(t testing.TB) *dovecot {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a Dovecot of its own wants root, to become the owner of mail")
	}
	for _, p := range []string{"dovecot", "openssl"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
	if _, err := os.Stat("/usr/lib/dovecot/imap"); err != nil {
		t.Skip("dovecot-imapd is not installed")
	}
	dir, err := os.MkdirTemp("", "dovecot-*")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	d := &dovecot{dir: dir, address: port.Loopback(t), clear: port.Loopback(t), ca: filepath.Join(dir, "cert.pem"), password: "right-pass", master: "master-pass"}
	run(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
		"-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", filepath.Join(dir, "key.pem"), "-out", d.ca)
	must(t, os.MkdirAll(d.mail(""), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "masters"), []byte("boss:{PLAIN}"+d.master+"\n"), 0o644))
	conf := filepath.Join(dir, "dovecot.conf")
	_, tlsPort, _ := net.SplitHostPort(d.address)
	_, clearPort, _ := net.SplitHostPort(d.clear)
	must(t, os.WriteFile(conf, fmt.Appendf(nil, configuration, dir, tlsPort, clearPort, d.password), 0o644))
	log, err := os.Create(filepath.Join(dir, "log"))
	must(t, err)
	cmd := exec.Command("dovecot", "-F", "-c", conf)
	cmd.Stderr = log
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("Dovecot says:\n%s", text[max(0, len(text)-4000):])
		}
	})
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", d.address); err == nil {
			must(t, c.Close())
			return d
		}
		if time.Since(begun) > 20*time.Second {
			t.Fatal("Dovecot does not answer")
		}
	}
}

const configuration = `base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = /dev/stderr
protocols = imap
first_valid_uid = 1
disable_plaintext_auth = yes
auth_master_user_separator = *
mail_uid = nobody
mail_gid = nogroup
mail_location = maildir:%[1]s/mail/%%n
ssl = required
ssl_cert = <%[1]s/cert.pem
ssl_key = <%[1]s/key.pem
default_vsz_limit = 1G
passdb {
  driver = passwd-file
  master = yes
  args = %[1]s/masters
  result_success = continue
}
passdb {
  driver = static
  args = password=%[4]s
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=%[1]s/mail/%%n
}
namespace inbox {
  inbox = yes
  mailbox "Sent Items" {
    special_use = \Sent
  }
  mailbox Papierkorb {
    special_use = \Trash
  }
}
service imap-login {
  inet_listener imap {
    address = 127.0.0.1
    port = %[3]s
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = %[2]s
    ssl = yes
  }
}
`

// reads runs Dovecot's imap on mail at a place.
func (d *dovecot) reads(t testing.TB, location string) *imapclient.Client {
	t.Helper()
	cmd := exec.Command("/usr/lib/dovecot/imap", "-c", filepath.Join(d.dir, "dovecot.conf"), "-u", "spool", "-o", "mail_location="+location)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	near := piped{Reader: out, WriteCloser: in}
	c := imapclient.New(near, nil)
	t.Cleanup(func() {
		_ = c.Close()
		_ = cmd.Wait()
	})
	must(t, c.WaitGreeting())
	return c
}

// piped is a connection to a program's standard input and output, which know no deadlines.
type piped struct {
	io.Reader
	io.WriteCloser
}

// The rest of net.Conn.
func (piped) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (piped) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (piped) SetDeadline(time.Time) error      { return nil }
func (piped) SetReadDeadline(time.Time) error  { return nil }
func (piped) SetWriteDeadline(time.Time) error { return nil }

// mail is where the mailbox of a user lies.
func (d *dovecot) mail(user string) string { return filepath.Join(d.dir, "mail", user) }

// own gives a mailbox to whom Dovecot becomes.
func (d *dovecot) own(t testing.TB, user string) {
	t.Helper()
	run(t, "chown", "-R", "nobody:nogroup", d.mail(user))
}

func (d *dovecot) passwordFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(path, []byte(d.password+"\n"), 0o600))
	return path
}

// run runs a program for at most ten minutes.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return out.String()
}
