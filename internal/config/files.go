package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
)

const (
	maxPEM    = 1 << 20 // octets of a file of certificates or keys
	maxSecret = 8 << 10 // of a password, a client's secret or a refresh token
)

// checkFiles looks at the files that the configuration names.
func (s *source) checkFiles(c *Config, root *node) {
	cert, key := root.child("tls", "cert"), root.child("tls", "key")
	if cert != nil && key != nil && c.TLS.Cert != "" && c.TLS.Key != "" {
		s.checkPair(c.TLS, cert, key)
	}
	s.checkDomainFiles(c)
	if n := root.child("acme", "ca"); n != nil && c.ACME.CA != "" {
		s.checkCA(c.ACME.CA, n)
	}
	s.checkContent(c, root)
	s.checkWebhookFiles(c, root)
	s.checkCheckPasswordFiles(c, root)
	s.checkScreen(c, root)
	s.checkLDAPFiles(c, root)
	s.checkOIDCFiles(c, root)
	if n := root.child("tls_policy", "ca"); n != nil && c.TLSPolicy.CA != "" {
		s.checkCA(c.TLSPolicy.CA, n)
	}
	for i, r := range c.Routes {
		s.checkRouteFiles(r, s.routeAt[i])
	}
}

func (s *source) checkRouteFiles(r Route, at *node) {
	for _, f := range []struct{ key, path string }{{"ca", r.CA}, {"token_ca", r.Token.CA}} {
		if n := at.child(f.key); n != nil && f.path != "" {
			s.checkCA(f.path, n)
		}
	}
	for _, f := range []struct {
		key, path string
		read      func(string) (string, error)
	}{
		{"password_file", r.PasswordFile, ReadPassword}, {"client_secret_file", r.Token.SecretFile, readLine},
		{"refresh_token_file", r.Token.RefreshFile, readLine},
	} {
		n := at.child(f.key)
		if n == nil || f.path == "" {
			continue
		}
		if _, err := f.read(f.path); err != nil {
			s.faultAt(n, cause(err), secretHint(err, f.path))
		}
	}
	if cert, key := at.child("cert"), at.child("cert_key"); cert != nil && key != nil && r.Cert != "" && r.CertKey != "" {
		s.checkPair(TLS{Cert: r.Cert, Key: r.CertKey}, cert, key)
	}
}

// checkPair reports a certificate and key that cannot be used together.
func (s *source) checkPair(t TLS, certAt, keyAt *node) {
	cert, errCert := readFile(t.Cert, maxPEM)
	if errCert != nil {
		s.faultAt(certAt, "this certificate cannot be read: "+cause(errCert), "looked for "+t.Cert)
	}
	key, errKey := readSecret(t.Key, maxPEM)
	wrongCert, wrongKey := false, false
	if errCert == nil {
		wrongCert = s.checkKind(certAt, t.Cert, certificateInstead(cert))
	}
	switch exposed := (exposedError)(0); {
	case errors.As(errKey, &exposed): // what is no key may be open to everybody
		if held, err := readFile(t.Key, maxPEM); err == nil {
			wrongKey = s.checkKind(keyAt, t.Key, keyInstead(held))
		}
	case errKey == nil:
		wrongKey = s.checkKind(keyAt, t.Key, keyInstead(key))
	}
	if errKey != nil && !wrongKey {
		s.faultAt(keyAt, "this key cannot be used: "+cause(errKey), secretHint(errKey, t.Key))
	}
	if errCert != nil || errKey != nil || wrongCert || wrongKey {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		s.faultAt(keyAt, "certificate and key do not go together: "+strings.TrimPrefix(err.Error(), "tls: "),
			"both must be PEM, and the key that of the first certificate")
	}
}

func (s *source) checkCA(path string, n *node) {
	pem, err := readFile(path, maxPEM)
	if err != nil {
		s.faultAt(n, "this file cannot be read: "+cause(err), "looked for "+path)
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		s.faultAt(n, "this file holds no certificate", "certificates are PEM: -----BEGIN CERTIFICATE-----")
	}
}

// ReadPassword returns the password in a password file: its only line, without the line's
// end. The file must be closed to strangers.
func ReadPassword(path string) (string, error) {
	line, err := readLine(path)
	if errors.Is(err, errLines) {
		err = errorText("a password file holds one line, the password")
	}
	return line, err
}

const errLines = errorText("a file of a secret holds one line, the secret")

// readLine returns the only line of a file that is closed to strangers.
func readLine(path string) (string, error) {
	text, err := readSecret(path, maxSecret)
	if err != nil {
		return "", err
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if line == "" || strings.ContainsAny(line, "\r\n\x00") {
		return "", errLines
	}
	return line, nil
}

// exposedError tells that others may read a secret.
type exposedError os.FileMode

func (e exposedError) Error() string {
	return fmt.Sprintf("others may use it too (mode %04o)", os.FileMode(e).Perm())
}

// readSecret reads a file that only its owner, and its group for reading, may
// have access to.
func readSecret(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o037 != 0 {
		return nil, exposedError(info.Mode())
	}
	return readFile(path, limit)
}

func secretHint(err error, path string) string {
	if _, exposed := err.(exposedError); exposed {
		return "chmod 600 " + path
	}
	return "looked for " + path
}
