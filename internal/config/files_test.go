package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// folder writes a certificate, its key, another key and passwords.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	key, other := testKey(t), testKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.local.test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "cert.pem", 0o644, pemOf("CERTIFICATE", cert))
	write(t, dir, "key.pem", 0o600, pemOf("PRIVATE KEY", pkcs8(t, key)))
	write(t, dir, "group.pem", 0o640, pemOf("PRIVATE KEY", pkcs8(t, key)))
	write(t, dir, "exposed.pem", 0o644, pemOf("PRIVATE KEY", pkcs8(t, key)))
	write(t, dir, "other.pem", 0o600, pemOf("PRIVATE KEY", pkcs8(t, other)))
	write(t, dir, "both.pem", 0o600, pemOf("PRIVATE KEY", pkcs8(t, key))+pemOf("CERTIFICATE", cert))
	write(t, dir, "encrypted.pem", 0o600, pemOf("ENCRYPTED PRIVATE KEY", pkcs8(t, key)))
	write(t, dir, "encrypted-before.pem", 0o600, "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n")
	write(t, dir, "cert.der", 0o644, string(cert))
	write(t, dir, "key.der", 0o600, string(pkcs8(t, key)))
	write(t, dir, "empty", 0o644, "")
	write(t, dir, "password", 0o600, "correct horse\n")
	write(t, dir, "two-lines", 0o600, "one\ntwo\n")
	write(t, dir, "password-exposed", 0o604, "secret\n")
	return dir
}

func TestFilesAreCheckedWhereTheyAreNamed(t *testing.T) {
	route := func(keys string) string { return "[route.\"*\"]\nto = \"smtps://smart.test\"\n" + keys }
	token := func(keys string) string {
		return route("user = \"u\"\ntoken_url = \"https://login.test/t\"\nclient_id = \"c\"\n" + keys)
	}
	tests := []struct{ name, keys, want string }{
		{"a good pair", "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n", ""},
		{"a key for the group", "[tls]\ncert = \"cert.pem\"\nkey = \"group.pem\"\n", ""},
		{"a key for everybody", "[tls]\ncert = \"cert.pem\"\nkey = \"exposed.pem\"\n", `:9:7: "exposed.pem": this key cannot be used: others may use it too (mode 0644); chmod 600 `},
		{"no certificate", "[tls]\ncert = \"none.pem\"\nkey = \"key.pem\"\n", `:8:8: "none.pem": this certificate cannot be read: no such file or directory; looked for `},
		{"another's key", "[tls]\ncert = \"cert.pem\"\nkey = \"other.pem\"\n", `:9:7: "other.pem": certificate and key do not go together: `},
		{"a key for a certificate", "[tls]\ncert = \"key.pem\"\nkey = \"key.pem\"\n", `:8:8: "key.pem": this file holds a private key, and no certificate; `},
		{"a certificate for a key", "[tls]\ncert = \"cert.pem\"\nkey = \"cert.pem\"\n", `:9:7: "cert.pem": this file holds a certificate, and no private key; `},
		{"both in one file", "[tls]\ncert = \"both.pem\"\nkey = \"both.pem\"\n", ""},
		{"a key under a passphrase", "[tls]\ncert = \"cert.pem\"\nkey = \"encrypted.pem\"\n", `:9:7: "encrypted.pem": this private key is under a passphrase`},
		{"as older programs write it", "[tls]\ncert = \"cert.pem\"\nkey = \"encrypted-before.pem\"\n", "openssl pkey -in "},
		{"DER", "[tls]\ncert = \"cert.der\"\nkey = \"key.pem\"\n", `:8:8: "cert.der": this file is not PEM; openssl x509 -inform DER `},
		{"DER of a key", "[tls]\ncert = \"cert.pem\"\nkey = \"key.der\"\n", `:9:7: "key.der": this file is not PEM; `},
		{"an empty certificate", "[tls]\ncert = \"empty\"\nkey = \"key.pem\"\n", `:8:8: "empty": this file holds no certificate; `},
		{"an empty key that is open", "[tls]\ncert = \"cert.pem\"\nkey = \"empty\"\n", `:9:7: "empty": this file holds no private key; `},
		{"a folder as certificate", "[tls]\ncert = \".\"\nkey = \"key.pem\"\n", "it is no regular file"},
		{"roots", route("ca = \"cert.pem\"\n"), ""},
		{"no roots", route("ca = \"password\"\n"), `:9:6: "password": this file holds no certificate`},
		{"missing roots", route("ca = \"none\"\n"), "this file cannot be read: no such file"},
		{"a password", route("user = \"u\"\npassword_file = \"password\"\n"), ""},
		{"two lines", route("user = \"u\"\npassword_file = \"two-lines\"\n"), `:10:17: "two-lines": a password file holds one line`},
		{"a certificate of ours", route("cert = \"cert.pem\"\ncert_key = \"key.pem\"\n"), ""},
		{"a key for everybody on a route", route("cert = \"cert.pem\"\ncert_key = \"exposed.pem\"\n"), `:10:12: "exposed.pem": this key cannot be used: others may use it too (mode 0644); chmod 600 `},
		{"a token", token("client_secret_file = \"password\"\n"), ""},
		{"a token of this host", strings.Replace(token("refresh_token_file = \"password\"\n"), "https://login.test", "http://127.0.0.1:99", 1), ""},
		{"a secret for everybody", token("client_secret_file = \"password-exposed\"\n"), "others may use it too (mode 0604); chmod 600 "},
		{"two lines of a refresh token", token("refresh_token_file = \"two-lines\"\n"), `:12:22: "two-lines": a file of a secret holds one line`},
		{"no authority of tokens", token("client_secret_file = \"password\"\ntoken_ca = \"password\"\n"), `:13:12: "password": this file holds no certificate`},
		{"a password for everybody", route("user = \"u\"\npassword_file = \"password-exposed\"\n"), "others may use it too (mode 0604); chmod 600 "},
	}
	hook := func(keys string) string {
		return "[webhook]\nurl = \"https://hooks.local.test:8443/a?b\"\n" + keys
	}
	tests = append(tests, []struct{ name, keys, want string }{
		{"a webhook", hook("key_file = \"hook\"\nca = \"cert.pem\"\n"), ""},
		{"a webhook's key for everybody", hook("key_file = \"hook-exposed\"\n"), `:9:12: "hook-exposed": others may use it too (mode 0644); chmod 600 `},
		{"a webhook's key of none", hook("key_file = \"password\"\n"), `:9:12: "password": a key of a webhook is "whsec_" and 24 to 64 octets in Base64`},
		{"a missing key of a webhook", hook("key_file = \"none\"\n"), `:9:12: "none": no such file or directory; looked for `},
		{"no roots for a webhook", hook("key_file = \"hook\"\nca = \"password\"\n"), `:10:6: "password": this file holds no certificate`},
	}...)
	dir := folder(t)
	write(t, dir, "hook", 0o640, "whsec_"+strings.Repeat("aaaa", 8)+"\n")
	write(t, dir, "hook-exposed", 0o644, "whsec_"+strings.Repeat("aaaa", 8)+"\n")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			write(t, dir, "sallyport.toml", 0o644, minimal+test.keys)
			_, err := Load(filepath.Join(dir, "sallyport.toml"))
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused:\n%v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestAFileThatCannotBeReadIsAFault(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "none.toml"): "there is no such file; name another with -c",
		dir:                             "cannot be read: it is no regular file; name the file in it: -c " + filepath.Join(dir, "sallyport.toml"),
	} {
		_, err := Load(path)
		if err == nil || !strings.HasPrefix(err.Error(), path+": "+want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	big := filepath.Join(dir, "big.toml")
	write(t, dir, "big.toml", 0o644, strings.Repeat("#\n", MaxOctets))
	if _, err := Load(big); err == nil || !strings.Contains(err.Error(), "it is larger than") {
		t.Errorf("a huge file: %v", err)
	}
}

// A key file of a webhook holds one key, or two while they are changed.
func TestWebhookKeys(t *testing.T) {
	dir := t.TempDir()
	one, two := "whsec_"+strings.Repeat("aaaa", 8), "whsec_"+strings.Repeat("bbbb", 16)
	for text, want := range map[string]int{
		one: 1, one + "\n": 1, one + "\r\n" + two + "\n": 2, one + "\n" + two + "\n" + one: 0, "": 0, "\n": 0, strings.Repeat("aaaa", 8): 0,
		"whsec_" + strings.Repeat("aaaa", 7): 0, "whsec_" + strings.Repeat("aaaa", 22): 0, "whsec_" + strings.Repeat("a-aa", 8): 0, one + "\nx": 0,
	} {
		write(t, dir, "key", 0o600, text)
		keys, err := ReadWebhookKeys(filepath.Join(dir, "key"))
		if len(keys) != want || (err == nil) != (want > 0) || want > 0 && len(keys[0]) != 24 {
			t.Errorf("%q: %q, %v", text, keys, err)
		}
	}
}

func TestReadPasswordLeavesOutTheLineEnd(t *testing.T) {
	dir := folder(t)
	if p, err := ReadPassword(filepath.Join(dir, "password")); p != "correct horse" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
}

func testKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pkcs8(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func write(t *testing.T, dir, name string, mode os.FileMode, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestAServerIsFoundByABrokenFile: an account must be frozen now, not after the
// file is mended.
func TestAServerIsFoundByABrokenFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "sallyport.toml", 0o644, "data = \"d\"\nhostnmae = 5\n[listen]\nmx = 25\n")
	c, err := Locate(filepath.Join(dir, "sallyport.toml"))
	if err != nil || c.Socket() != filepath.Join(dir, "d", "sallyport.sock") {
		t.Errorf("socket %q, %v", c.Socket(), err)
	}
	for text, want := range map[string]string{"data = 5\n": "this must be text", "x = 1\n": "this key is missing", "data\n": "this is not TOML"} {
		write(t, dir, "broken.toml", 0o644, text)
		if _, err := Locate(filepath.Join(dir, "broken.toml")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
