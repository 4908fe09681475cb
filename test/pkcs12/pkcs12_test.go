// Package pkcs12 has the files of devices read by the programs that people put them into:
// OpenSSL, GnuTLS, NSS, Java, and readers of Apple's property lists.
package pkcs12

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/ca/device"
	"sallyport/internal/kit/phrase"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files are those of one device, in a folder of their own.
type files struct{ dir, passphrase string }

func issued(t *testing.T) files {
	t.Helper()
	f := files{dir: t.TempDir()}
	key, err := device.NewKey(rand.Reader)
	must(t, err)
	request, err := key.Request(rand.Reader)
	must(t, err)
	id, err := device.New(key, certify(t, request))
	must(t, err)
	f.passphrase, err = phrase.New(rand.Reader, 24)
	must(t, err)
	p12, err := id.PKCS12(rand.Reader, f.passphrase)
	must(t, err)
	profile, err := device.Profile(rand.Reader, "mx.local.test", `alice@local.test "phone" & <laptop>`, p12)
	must(t, err)
	text, err := id.PEM()
	must(t, err)
	for name, content := range map[string][]byte{"id.p12": p12, "id.mobileconfig": profile, "id.pem": text} {
		must(t, os.WriteFile(filepath.Join(f.dir, name), content, 0o600))
	}
	return f
}

// certify signs the key of a request with a key of the test's own.
func certify(t *testing.T, request string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(request))
	r, err := x509.ParseCertificateRequest(block.Bytes)
	must(t, err)
	by, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "alice@local.test", OrganizationalUnit: []string{"phone"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, r.PublicKey, by)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// run runs a program in the folder and returns all that it says.
func (f files) run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("SALLYPORT_PKCS12") != "" {
			t.Fatalf("%s is not installed: run make pkcs12", name)
		}
		t.Skip(name + " is not installed: make pkcs12 installs it")
	}
	c := exec.Command(name, args...)
	c.Dir = f.dir
	out, err := c.CombinedOutput()
	return string(out), err
}

// reads demands that a program reads the file with its passphrase, shows what it is to show,
// and does not read it with another passphrase.
func (f files) reads(t *testing.T, shows string, command func(passphrase string) []string) {
	t.Helper()
	args := command(f.passphrase)
	if out, err := f.run(t, args[0], args[1:]...); err != nil || !strings.Contains(out, shows) {
		t.Errorf("%s: %v\n%s", args[0], err, out)
	}
	args = command("another")
	if out, err := f.run(t, args[0], args[1:]...); err == nil && strings.Contains(out, shows) {
		t.Errorf("%s reads it with another passphrase:\n%s", args[0], out)
	}
}

func TestOpenSSL(t *testing.T) {
	issued(t).reads(t, "alice@local.test", func(p string) []string {
		return []string{"openssl", "pkcs12", "-in", "id.p12", "-passin", "pass:" + p, "-nodes"}
	})
}

func TestGnuTLS(t *testing.T) {
	issued(t).reads(t, "BEGIN CERTIFICATE", func(p string) []string {
		return []string{"certtool", "--p12-info", "--inder", "--infile", "id.p12", "--password", p}
	})
}

// NSS is Thunderbird's and Firefox's: it must find the key, too.
func TestNSS(t *testing.T) {
	f := issued(t)
	must(t, os.Mkdir(filepath.Join(f.dir, "nss"), 0o700))
	if out, err := f.run(t, "certutil", "-N", "-d", "sql:nss", "--empty-password"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f.reads(t, "IMPORT SUCCESSFUL", func(p string) []string {
		return []string{"pk12util", "-i", "id.p12", "-d", "sql:nss", "-W", p}
	})
	if out, err := f.run(t, "certutil", "-K", "-d", "sql:nss"); err != nil || !strings.Contains(out, "alice@local.test") {
		t.Errorf("the key is not there: %v\n%s", err, out)
	}
}

func TestJava(t *testing.T) {
	if os.Getenv("SALLYPORT_PKCS12") == "" {
		t.Skip("it starts slowly: make pkcs12 runs it")
	}
	issued(t).reads(t, "PrivateKeyEntry", func(p string) []string {
		return []string{"keytool", "-list", "-keystore", "id.p12", "-storetype", "PKCS12", "-storepass", p}
	})
}

// A profile is a property list that holds the PKCS #12 octet by octet.
func TestProfile(t *testing.T) {
	f := issued(t)
	if out, err := f.run(t, "plistutil", "-i", "id.mobileconfig", "-o", "id.plist"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	const script = `import plistlib
d = plistlib.load(open("id.mobileconfig", "rb"))
c = d["PayloadContent"][0]
assert d["PayloadType"] == "Configuration" and c["PayloadType"] == "com.apple.security.pkcs12" and "Password" not in c
assert d["PayloadDisplayName"] == 'alice@local.test "phone" & <laptop>'
assert c["PayloadContent"] == open("id.p12", "rb").read()`
	if out, err := f.run(t, "python3", "-c", script); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Key and certificate in PEM belong together as Python's OpenSSL sees it.
func TestPEM(t *testing.T) {
	if out, err := issued(t).run(t, "python3", "-c", `import ssl; ssl.create_default_context().load_cert_chain("id.pem")`); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
