package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/oidc/oidctest"
)

// withToken runs a program that has a token, and reports whether it sent.
type withToken struct {
	name, tool string
	run        func(t *testing.T, s *Server, from, to, token, text string) error
}

func programsWithTokens() []withToken {
	return []withToken{
		{"curl, OAUTHBEARER", "curl", curlToken("OAUTHBEARER")},
		{"curl, XOAUTH2", "curl", curlToken("XOAUTH2")},
		{"msmtp, OAUTHBEARER", "msmtp", msmtpToken("oauthbearer")},
		{"msmtp, XOAUTH2", "msmtp", msmtpToken("xoauth2")},
		{"mutt, OAUTHBEARER", "mutt", muttToken("oauthbearer")},
		{"mutt, XOAUTH2", "mutt", muttToken("xoauth2")},
		{"s-nail, XOAUTH2", "s-nail", snailToken},
		{"nodemailer, XOAUTH2", "node", nodemailerToken},
	}
}

func letterOf(from, to, text string) string {
	return fmt.Sprintf("From: <%s>\nTo: <%s>\nSubject: token\n\n%s\n", from, to, text)
}

func curlToken(mech string) func(*testing.T, *Server, string, string, string, string) error {
	return func(t *testing.T, s *Server, from, to, token, text string) error {
		_, err := Try(t, []byte(strings.ReplaceAll(letterOf(from, to, text), "\n", "\r\n")), "curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", s.CA, "--url", "smtp://"+s.Submission(),
			"--mail-from", from, "--mail-rcpt", to, "--upload-file", "-", "--user", from+":", "--oauth2-bearer", token, "--sasl-ir", "--login-options", "AUTH="+mech)
		return err
	}
}

func msmtpToken(mech string) func(*testing.T, *Server, string, string, string, string) error {
	return func(t *testing.T, s *Server, from, to, token, text string) error {
		host, port, _ := strings.Cut(s.Submission(), ":")
		_, err := Try(t, []byte(letterOf(from, to, text)), "msmtp", "--host="+host, "--port="+port, "--tls=on", "--tls-starttls=on", "--tls-trust-file="+s.CA, "--from="+from,
			"--auth="+mech, "--user="+from, "--passwordeval=printf %s "+token, to)
		return err
	}
}

func muttToken(mech string) func(*testing.T, *Server, string, string, string, string) error {
	return func(t *testing.T, s *Server, from, to, token, text string) error {
		rc := filepath.Join(t.TempDir(), "muttrc")
		said := fmt.Sprintf("set smtp_url=\"smtp://%s@%s/\"\nset smtp_authenticators=%q\nset smtp_oauth_refresh_command=\"printf %%s %s\"\nset ssl_force_tls=yes\nset ssl_starttls=yes\n"+
			"set ssl_ca_certificates_file=%q\nset ssl_verify_host=no\nset from=%s\nset use_from=yes\nset copy=no\nset hostname=local.test\n",
			strings.Replace(from, "@", "%40", 1), s.Submission(), mech, token, s.CA, from)
		if err := os.WriteFile(rc, []byte(said), 0o600); err != nil {
			return err
		}
		out, err := Try(t, []byte(text+"\n"), "mutt", "-n", "-F", rc, "-s", "token", to)
		if err == nil && strings.Contains(out, "failed") {
			err = errors.New(out)
		}
		return err
	}
}

func snailToken(t *testing.T, s *Server, from, to, token, text string) error {
	_, err := Try(t, []byte(text+"\n"), "s-nail", "-n", "-#", "-S", "v15-compat=yes", "-S", "mta=submission://"+strings.Replace(from, "@", "%40", 1)+":"+token+"@"+s.Submission(),
		"-S", "smtp-auth=oauthbearer", "-S", "tls-ca-file="+s.CA, "-S", "tls-ca-no-defaults", "-S", "tls-verify=ignore", "-S", "smtp-use-starttls", "-S", "from="+from, "-S", "sendwait", "-s", "token", to)
	return err
}

const nodemailerWithToken = `
import nodemailer from "nodemailer"; import fs from "node:fs";
const [host, port, ca, user, accessToken, to] = process.argv.slice(1);
await nodemailer.createTransport({ host, port: Number(port), secure: false, requireTLS: true, tls: { ca: fs.readFileSync(ca) },
  auth: { type: "OAuth2", user, accessToken } }).sendMail({ envelope: { from: user, to }, raw: fs.readFileSync(0) });
`

func nodemailerToken(t *testing.T, s *Server, from, to, token, text string) error {
	host, port, _ := strings.Cut(s.Submission(), ":")
	return in(t, "../authors/readers/node", []byte(letterOf(from, to, text)), "node", "--input-type=module", "-e", nodemailerWithToken, host, port, s.CA, from, token, to)
}

// in runs a program in a folder.
func in(t *testing.T, dir string, stdin []byte, name string, args ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, Tool(t, name), args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// Each program signs in with a good token, and gives up on one that has ended, whatever it says
// after the refusal; then it signs in again over the same door. `make clients` runs it.
func TestProgramsWithTokens(t *testing.T) {
	if os.Getenv("SALLYPORT_CLIENTS") == "" {
		t.Skip("make clients runs the programs")
	}
	s := Start(t)
	alice, bob := s.Account("alice").Address, s.Account("bob")
	p := oidctest.New(t, time.Now)
	f, err := os.OpenFile(s.Config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Each program shows a token that has ended, which counts as a wrong password does.
	_, err = fmt.Fprintf(f, "\n[auth]\nguesses = 1000\nnetwork_guesses = 1000\n\n[oidc]\nissuer = %q\naudience = %q\nscope = %q\nclients = [%q]\n", p.URL, oidctest.Audience, oidctest.Scope, oidctest.Client)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	Run(t, nil, s.Binary, "reload", "-c", s.Config)
	for n, program := range programsWithTokens() {
		t.Run(program.name, func(t *testing.T) {
			Tool(t, program.tool)
			ended := p.Token(alice, map[string]any{"exp": time.Now().Add(-time.Minute).Unix()})
			began := time.Now()
			if err := program.run(t, s, alice, bob.Address, ended, "never"); err == nil {
				t.Error("it says that it sent with a token that has ended")
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it gave up after %s", took)
			}
			text := fmt.Sprintf("with token %d", n)
			sent := "Last line, " + text
			if err := program.run(t, s, alice, bob.Address, p.Token(alice, nil), sent); err != nil {
				t.Fatalf("%v", err)
			}
			find(t, bob.Maildir, text)
		})
	}
	out := Run(t, nil, s.Binary, "trace", alice, "-c", s.Config)
	for _, words := range []string{"the time of the access token is over", "OAUTHBEARER", "XOAUTH2"} {
		if !strings.Contains(out, words) {
			t.Errorf("%q is not in:\n%s", words, out)
		}
	}
}
