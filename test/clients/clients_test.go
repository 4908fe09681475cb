// Package clients lets the mail programs that people really use sign in and send,
// through both submission doors, and reads what arrived octet by octet: in Bob's
// Maildir, and at Postfix's smtp-sink behind a route.
package clients

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sent is one message on its way, with a mark that finds it again.
type sent struct {
	mark   string
	from   string
	to     []string
	octets []byte // as DATA carries them, without the final dot
}

func compose(s *Server, mark string, to ...string) sent {
	from := s.Account("alice").Address
	text := fmt.Sprintf("From: Alice <%s>\r\nTo: %s\r\nSubject: %s\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%s@client.test>\r\n\r\n"+
		"First line.\r\n.a line that begins with a dot\r\n..\r\n\r\nLast line, %s\r\n", from, strings.Join(to, ", "), mark, mark, mark)
	return sent{mark: mark, from: from, to: to, octets: []byte(text)}
}

// A sender is a program that signs in as alice and sends.
type sender struct {
	name string
	send func(t *testing.T, s *Server, m sent)
}

func senders(t *testing.T) []sender {
	return []sender{
		{"swaks PLAIN, STARTTLS", swaks("PLAIN", false)},
		{"swaks LOGIN, STARTTLS", swaks("LOGIN", false)},
		{"swaks PLAIN, implicit TLS", swaks("PLAIN", true)},
		{"swaks LOGIN, implicit TLS", swaks("LOGIN", true)},
		{"msmtp SCRAM-SHA-256, STARTTLS", msmtp("scram-sha-256", false)},
		{"msmtp SCRAM-SHA-256, implicit TLS", msmtp("scram-sha-256", true)},
		{"msmtp PLAIN, implicit TLS", msmtp("plain", true)},
		{"msmtp chooses, STARTTLS", msmtp("on", false)},
		{"curl, STARTTLS", curl(false)},
		{"curl, implicit TLS", curl(true)},
		{"Python smtplib, STARTTLS", python(false)},
		{"Python smtplib, implicit TLS", python(true)},
		{"Go net/smtp, STARTTLS", goSMTP(false)},
		{"Go net/smtp, implicit TLS", goSMTP(true)},
	}
}

func TestClientsSendToBobAndBeyond(t *testing.T) {
	sink := StartSmtpSink(t)
	s := Start(t, "--route", "remote.test=smtp://"+sink.Addr)
	for i, c := range senders(t) {
		t.Run(c.name, func(t *testing.T) {
			m := compose(s, fmt.Sprintf("mark-%d-end", i), s.Account("bob").Address, "friend@remote.test")
			c.send(t, s, m)
			inbox := find(t, s.Account("bob").Maildir, m.mark)
			// A Maildir and smtp-sink have LF at the ends of lines.
			want := bytes.ReplaceAll(m.octets, []byte("\r\n"), []byte("\n"))
			if !endsWith(inbox, want) {
				t.Errorf("Bob's copy is not what was sent:\n%q\nwant at its end:\n%q", inbox, want)
			}
			far := find(t, sink.Dir, m.mark)
			if !bytes.Contains(far, want) {
				t.Errorf("the sink's copy is not what was sent:\n%q\nwant in it:\n%q", far, want)
			}
		})
	}
}

// gsasl speaks the mechanisms that few clients have: -PLUS binds the sign-in to the
// TLS connection.
func TestGsaslSignsInWithChannelBinding(t *testing.T) {
	s := Start(t)
	offerBinding(t, s)
	alice := s.Account("alice")
	for _, mech := range []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"} {
		t.Run(mech, func(t *testing.T) {
			out := Run(t, nil, "gsasl", "--smtp", "--mechanism", mech, "--authentication-id", alice.Address, "--authorization-id", "",
				"--password", alice.Password, "--x509-ca-file", s.CA, "--connect", s.Submission(), binding(mech))
			if !strings.Contains(out, "235") {
				t.Errorf("no 235 in:\n%s", out)
			}
		})
		t.Run(mech+" with a wrong password", func(t *testing.T) {
			out, err := Try(t, nil, "gsasl", "--smtp", "--mechanism", mech, "--authentication-id", alice.Address, "--authorization-id", "",
				"--password", "not "+alice.Password, "--x509-ca-file", s.CA, "--connect", s.Submission(), binding(mech))
			if err == nil || strings.Contains(out, "235 ") {
				t.Errorf("signed in with a wrong password:\n%s", out)
			}
		})
	}
}

// offerBinding has the server offer -PLUS, which it does not by itself.
func offerBinding(t *testing.T, s *Server) {
	t.Helper()
	f, err := os.OpenFile(s.Config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// A start leaves few tries to guess with, and here each mechanism has a wrong one.
	_, err = f.WriteString("\n[auth]\nguesses = 1000\nnetwork_guesses = 1000\nguess_time = \"1m\"\nmechanisms = [\"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\", \"PLAIN\", \"LOGIN\"]\n")
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	Run(t, nil, s.Binary, "reload", "-c", s.Config)
}

// mutt of Debian is built on GNU SASL: it chooses -PLUS where that is offered, has no
// binding, and gives up. By default it signs in; where it cannot, the trace says why.
func TestMuttOfDebianSignsIn(t *testing.T) {
	Tool(t, "mutt")
	s := Start(t)
	alice := s.Account("alice")
	rc := filepath.Join(t.TempDir(), "muttrc")
	text := fmt.Sprintf("set smtp_url=\"smtp://alice%%40local.test@%s/\"\nset smtp_pass=%q\nset ssl_force_tls=yes\nset ssl_starttls=yes\n"+
		"set ssl_ca_certificates_file=%q\nset ssl_verify_host=no\nset from=%s\nset use_from=yes\nset copy=no\nset hostname=local.test\n",
		s.Submission(), alice.Password, s.CA, alice.Address)
	if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	Run(t, []byte("Last line, by default\n"), "mutt", "-n", "-F", rc, "-s", "from mutt", s.Account("bob").Address)
	find(t, s.Account("bob").Maildir, "by default")
	offerBinding(t, s)
	if out, err := Try(t, []byte("bound\n"), "mutt", "-n", "-F", rc, "-s", "from mutt", s.Account("bob").Address); err == nil {
		t.Errorf("mutt signs in where -PLUS is offered, and the documentation says that it does not:\n%s", out)
	}
	if out := Run(t, nil, s.Binary, "trace", "127.0.0.1", "--kind", "refused", "-c", s.Config); !strings.Contains(out, "a client that cannot bind to TLS must use another mechanism") {
		t.Errorf("the trace does not say what helps:\n%s", out)
	}
}

// binding switches channel binding off where the mechanism has none: gsasl would
// otherwise take our offer of -PLUS for a downgrade, as it should.
func binding(mech string) string {
	if strings.HasSuffix(mech, "-PLUS") {
		return "--verbose"
	}
	return "--no-cb"
}

func swaks(mech string, implicit bool) func(*testing.T, *Server, sent) {
	return func(t *testing.T, s *Server, m sent) {
		args := []string{"--server", s.Submission(), "--tls", "--tls-ca-path", s.CA, "--tls-verify"}
		if implicit {
			args = []string{"--server", s.Submissions(), "--tls-on-connect", "--tls-ca-path", s.CA, "--tls-verify"}
		}
		args = append(args, "--auth", mech, "--auth-user", s.Account("alice").Address, "--auth-password", s.Account("alice").Password,
			"--from", m.from, "--to", strings.Join(m.to, ","), "--data", "-")
		lf := bytes.ReplaceAll(m.octets, []byte("\r\n"), []byte("\n"))
		Run(t, lf[:len(lf)-1], "swaks", args...) // swaks adds the last line end
	}
}

func msmtp(auth string, implicit bool) func(*testing.T, *Server, sent) {
	return func(t *testing.T, s *Server, m sent) {
		addr, starttls := s.Submission(), "on"
		if implicit {
			addr, starttls = s.Submissions(), "off"
		}
		host, port, _ := net.SplitHostPort(addr)
		args := []string{"--host=" + host, "--port=" + port, "--tls=on", "--tls-starttls=" + starttls, "--tls-trust-file=" + s.CA,
			"--auth=" + auth, "--user=" + s.Account("alice").Address, "--passwordeval=printf %s " + s.Account("alice").Password, "--from=" + m.from}
		Run(t, bytes.ReplaceAll(m.octets, []byte("\r\n"), []byte("\n")), "msmtp", append(args, m.to...)...)
	}
}

func curl(implicit bool) func(*testing.T, *Server, sent) {
	return func(t *testing.T, s *Server, m sent) {
		url := "smtp://" + s.Submission()
		if implicit {
			url = "smtps://" + s.Submissions()
		}
		args := []string{"--silent", "--show-error", "--ssl-reqd", "--cacert", s.CA, "--url", url,
			"--user", s.Account("alice").Address + ":" + s.Account("alice").Password, "--mail-from", m.from, "--upload-file", "-"}
		for _, to := range m.to {
			args = append(args, "--mail-rcpt", to)
		}
		Run(t, m.octets, "curl", args...)
	}
}

const pythonSender = `
import smtplib, ssl, sys
mode, addr, ca, user, password, sender = sys.argv[1:7]
host, port = addr.rsplit(":", 1)
context = ssl.create_default_context(cafile=ca)
if mode == "implicit":
    smtp = smtplib.SMTP_SSL(host, int(port), context=context)
else:
    smtp = smtplib.SMTP(host, int(port))
    smtp.starttls(context=context)
smtp.login(user, password)
refused = smtp.sendmail(sender, sys.argv[7:], sys.stdin.buffer.read())
smtp.quit()
sys.exit(1 if refused else 0)
`

func python(implicit bool) func(*testing.T, *Server, sent) {
	return func(t *testing.T, s *Server, m sent) {
		mode, addr := "starttls", s.Submission()
		if implicit {
			mode, addr = "implicit", s.Submissions()
		}
		args := []string{"-c", pythonSender, mode, addr, s.CA, s.Account("alice").Address, s.Account("alice").Password, m.from}
		Run(t, m.octets, "python3", append(args, m.to...)...)
	}
}

func goSMTP(implicit bool) func(*testing.T, *Server, sent) {
	return func(t *testing.T, s *Server, m sent) {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		cfg := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
		if !implicit {
			c, err := smtp.Dial(s.Submission())
			if err != nil {
				t.Fatal(err)
			}
			if err := c.StartTLS(cfg); err != nil {
				t.Fatal(err)
			}
			goSend(t, c, s, m)
			return
		}
		conn, err := tls.Dial("tcp", s.Submissions(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		c, err := smtp.NewClient(conn, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		goSend(t, c, s, m)
	}
}

// goSend signs in and sends over a connection that is encrypted.
func goSend(t *testing.T, c *smtp.Client, s *Server, m sent) {
	defer c.Close()
	alice := s.Account("alice")
	if err := c.Auth(smtp.PlainAuth("", alice.Address, alice.Password, "127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail(m.from); err != nil {
		t.Fatal(err)
	}
	for _, to := range m.to {
		if err := c.Rcpt(to); err != nil {
			t.Fatal(err)
		}
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(m.octets); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
}

// find waits for the one file below dir that holds mark.
func find(t *testing.T, dir, mark string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if b := search(dir, mark); b != nil {
			return b
		}
		select {
		case <-ctx.Done():
			t.Fatalf("nothing with %s arrived below %s", mark, dir)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func search(dir, mark string) []byte {
	var found []byte
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(filepath.Dir(path)) == "tmp" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err == nil && bytes.Contains(b, []byte("Last line, "+mark)) {
			found = b
		}
		return nil
	})
	return found
}

func endsWith(stored, sent []byte) bool { return bytes.HasSuffix(stored, sent) }
