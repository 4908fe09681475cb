package clients

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A client is a program that people send with, told what each attempt says.
type client struct {
	name        string
	more        bool // `make test` does not install it
	signsInOnly bool // it has no mail to send
	run         func(*testing.T, attempt) error
}

func matrix() []client {
	return []client{
		{name: "swaks", run: runSwaks},
		{name: "msmtp", run: runMsmtp},
		{name: "curl", run: runCurl},
		{name: "Python smtplib", run: runPython},
		{name: "gsasl", signsInOnly: true, run: runGsasl},
		{name: "mutt", run: runMutt("mutt")},
		{name: "NeoMutt", more: true, run: runMutt("neomutt")},
		{name: "s-nail", more: true, run: runSnail},
		{name: "git send-email", more: true, run: runGit},
		{name: "nodemailer", more: true, run: runNodemailer},
		{name: "Net::SMTP", run: runPerl},
		{name: "Postfix", more: true, run: runPostfix},
	}
}

func runSwaks(t *testing.T, a attempt) error {
	args := []string{"--server", a.addr, "--tls-ca-path", a.s.CA, "--tls-verify", "--from", a.message.from, "--to", a.to(), "--data", "-"}
	if a.implicit {
		args = append(args, "--tls-on-connect")
	} else {
		args = append(args, "--tls")
	}
	if a.pem != "" {
		args = append(args, "--tls-cert", a.pem, "--tls-key", a.pem)
	}
	if a.user != "" {
		args = append(args, "--auth-user", a.user, "--auth-password", "x"+a.password, "--auth")
		if a.password != "" {
			args[len(args)-2] = a.password
		}
		if a.mech() != "" {
			args = append(args, a.mech())
		}
	}
	return a.run(t, a.lf(), "swaks", args...)
}

func runMsmtp(t *testing.T, a attempt) error {
	starttls, auth := "on", "on"
	if a.implicit {
		starttls = "off"
	}
	if a.mech() != "" {
		auth = strings.ToLower(a.mech())
	}
	args := []string{"--host=" + a.host(), "--port=" + a.port(), "--tls=on", "--tls-starttls=" + starttls, "--tls-trust-file=" + a.s.CA, "--from=" + a.message.from}
	if a.pem != "" {
		args = append(args, "--tls-cert-file="+a.pem, "--tls-key-file="+a.pem)
	}
	if a.user != "" {
		args = append(args, "--auth="+auth, "--user="+a.user)
	}
	if a.password != "" {
		args = append(args, "--passwordeval=printf %s "+a.password)
	}
	return a.run(t, a.lf(), "msmtp", append(args, a.to())...)
}

func runCurl(t *testing.T, a attempt) error {
	at := "smtp://" + a.addr
	if a.implicit {
		at = "smtps://" + a.addr
	}
	args := []string{"--silent", "--show-error", "--ssl-reqd", "--cacert", a.s.CA, "--url", at, "--mail-from", a.message.from, "--mail-rcpt", a.to(), "--upload-file", "-"}
	if a.pem != "" {
		args = append(args, "--cert", a.pem)
	}
	if a.user != "" {
		args = append(args, "--user", a.user+":"+a.password)
	}
	if a.mech() != "" {
		args = append(args, "--login-options", "AUTH="+a.mech())
	}
	return a.run(t, string(a.message.octets), "curl", args...)
}

const pythonAttempt = `
import smtplib, ssl, sys
implicit, host, port, ca, pem, mech, user, password, sender, to = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if pem:
    context.load_cert_chain(pem)
if implicit == "true":
    smtp = smtplib.SMTP_SSL(host, int(port), context=context)
else:
    smtp = smtplib.SMTP(host, int(port))
    smtp.starttls(context=context)
smtp.user, smtp.password = user, password
smtp.ehlo()
if mech == "EXTERNAL":
    smtp.auth(mech, lambda challenge=None: "")
elif mech:
    smtp.auth(mech, getattr(smtp, "auth_" + mech.lower().replace("-", "_")))
elif user:
    smtp.login(user, password)
smtp.sendmail(sender, [to], sys.stdin.buffer.read())
smtp.quit()
`

func runPython(t *testing.T, a attempt) error {
	return a.run(t, string(a.message.octets), "python3", "-c", pythonAttempt, fmt.Sprint(a.implicit),
		a.host(), a.port(), a.s.CA, a.pem, a.mech(), a.user, a.password, a.message.from, a.to())
}

func runGsasl(t *testing.T, a attempt) error {
	if a.user == "" || a.implicit {
		return errors.New("gsasl has no mail to send, and no TLS from the first octet")
	}
	args := []string{"--smtp", "--authentication-id", a.user, "--authorization-id", "", "--x509-ca-file", a.s.CA, "--connect", a.addr}
	if a.mech() != "" {
		args = append(args, "--mechanism", a.mech())
	}
	// It takes our silence about -PLUS for what it is only when told so.
	if a.column != plus {
		args = append(args, "--no-cb")
	}
	if a.pem != "" {
		args = append(args, "--x509-cert-file", a.pem, "--x509-key-file", a.pem)
	}
	if a.password != "" {
		args = append(args, "--password", a.password)
	}
	return a.run(t, "", "gsasl", args...)
}

func runMutt(program string) func(*testing.T, attempt) error {
	return func(t *testing.T, a attempt) error {
		scheme, user := "smtp", ""
		if a.implicit {
			scheme = "smtps"
		}
		if a.user != "" {
			user = url.PathEscape(a.user) + "@"
			user = strings.Replace(user, "@local", "%40local", 1)
		}
		rc := fmt.Sprintf("set smtp_url=\"%s://%s%s/\"\nset ssl_force_tls=yes\nset ssl_starttls=yes\nset ssl_ca_certificates_file=%q\nset ssl_verify_host=no\n"+
			"set from=%s\nset use_from=yes\nset copy=no\nset hostname=local.test\n", scheme, user, a.addr, a.s.CA, a.message.from)
		if a.password != "" {
			rc += fmt.Sprintf("set smtp_pass=%q\n", a.password)
		}
		if a.pem != "" {
			rc += fmt.Sprintf("set ssl_client_cert=%q\n", a.pem)
		}
		if a.mech() != "" {
			rc += fmt.Sprintf("set smtp_authenticators=%q\n", strings.ToLower(a.mech()))
		}
		file := filepath.Join(a.dir, "rc")
		if err := os.WriteFile(file, []byte(rc), 0o600); err != nil {
			return err
		}
		return a.run(t, a.body(), program, "-n", "-F", file, "-s", "matrix", a.to())
	}
}

func runSnail(t *testing.T, a attempt) error {
	scheme, user, auth := "submission", "", strings.ToLower(a.mech())
	if a.implicit {
		scheme = "submissions"
	}
	if a.user != "" {
		user = strings.Replace(a.user, "@", "%40", 1) + "@"
	}
	if a.password != "" {
		user = strings.TrimSuffix(user, "@") + ":" + a.password + "@"
	}
	args := []string{"-n", "-#", "-S", "v15-compat=yes", "-S", "mta=" + scheme + "://" + user + a.addr, "-S", "tls-ca-file=" + a.s.CA, "-S", "tls-ca-no-defaults",
		"-S", "tls-verify=ignore", "-S", "smtp-use-starttls", "-S", "from=" + a.message.from, "-S", "sendwait"}
	if a.user == "" {
		auth = "none"
	}
	if auth != "" {
		args = append(args, "-S", "smtp-auth="+auth)
	}
	if a.pem != "" {
		args = append(args, "-S", "tls-config-pairs=Certificate="+a.pem+",PrivateKey="+a.pem)
	}
	return a.run(t, a.body(), "s-nail", append(args, "-s", "matrix", a.to())...)
}

// runGit has no place for a certificate.
func runGit(t *testing.T, a attempt) error {
	file := filepath.Join(a.dir, "message")
	if err := os.WriteFile(file, []byte(a.lf()), 0o600); err != nil {
		return err
	}
	encryption := "tls"
	if a.implicit {
		encryption = "ssl"
	}
	args := []string{"send-email", "--no-validate", "--quiet", "--confirm=never", "--suppress-cc=all", "--from", a.message.from, "--to", a.to(),
		"--smtp-server", a.host(), "--smtp-server-port", a.port(), "--smtp-encryption", encryption, "--smtp-ssl-cert-path", a.s.CA}
	if a.user != "" {
		args = append(args, "--smtp-user", a.user, "--smtp-pass", "x"+a.password)
		if a.password != "" {
			args[len(args)-1] = a.password
		}
	}
	if a.mech() != "" {
		args = append(args, "--smtp-auth", a.mech())
	}
	return a.run(t, "", "git", append(args, file)...)
}

const nodemailerAttempt = `
import nodemailer from "nodemailer"; import fs from "node:fs";
const [implicit, host, port, ca, pem, mech, user, pass, from, to] = process.argv.slice(1);
const tls = { ca: fs.readFileSync(ca) };
if (pem) { tls.cert = fs.readFileSync(pem); tls.key = fs.readFileSync(pem); }
const options = { host, port: Number(port), secure: implicit === "true", requireTLS: true, tls };
if (user) options.auth = { user, pass };
if (mech) options.authMethod = mech;
const raw = fs.readFileSync(0);
await nodemailer.createTransport(options).sendMail({ envelope: { from, to }, raw });
`

func runNodemailer(t *testing.T, a attempt) error {
	return a.runIn(t, "../authors/readers/node", a.lf(), "node", "--input-type=module", "-e",
		nodemailerAttempt, fmt.Sprint(a.implicit), a.host(), a.port(), a.s.CA, a.pem, a.mech(), a.user,
		a.password, a.message.from, a.to())
}
