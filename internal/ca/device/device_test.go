package device

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// certified returns an identity whose certificate signs itself.
func certified(t *testing.T, k Key) (Identity, error) {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alice"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.private.PublicKey, k.private)
	must(t, err)
	return New(k, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// Every form holds this key and this certificate, and no other.
func TestForms(t *testing.T) {
	k, err := NewKey(rand.Reader)
	must(t, err)
	id, err := certified(t, k)
	must(t, err)
	text, err := id.PEM()
	must(t, err)
	block, rest := pem.Decode(text)
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil || !k.private.Equal(private) || strings.Count(string(rest), "BEGIN") != 1 {
		t.Errorf("%s, %v", text, err)
	}
	p12, err := id.PKCS12(rand.Reader, "a phrase")
	must(t, err)
	key, leaf, chain, err := pkcs12.DecodeChain(p12, "a phrase")
	if err != nil || !k.private.Equal(key) || !bytes.Equal(leaf.Raw, id.certificate.Raw) || len(chain) != 0 {
		t.Errorf("%v and %d more, %v", leaf, len(chain), err)
	}
	if _, _, err := pkcs12.Decode(p12, "another"); !errors.Is(err, pkcs12.ErrIncorrectPassword) {
		t.Errorf("with another passphrase: %v", err)
	}
	if _, err := id.PKCS12(rand.Reader, "pässe"); err == nil {
		t.Error("a passphrase that Java does not read was taken")
	}
	other, err := NewKey(rand.Reader)
	must(t, err)
	if _, err := New(other, string(text[bytes.Index(text, []byte("-----BEGIN CERT")):])); !errors.Is(err, ErrOther) {
		t.Errorf("a certificate of another key: %v", err)
	}
	if _, err := New(k, "nothing"); err == nil {
		t.Error("no certificate was taken for one")
	}
}

// A request shows the key and says nothing else that could be taken over.
func TestRequest(t *testing.T) {
	k, err := NewKey(rand.Reader)
	must(t, err)
	text, err := k.Request(rand.Reader)
	must(t, err)
	block, _ := pem.Decode([]byte(text))
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || r.CheckSignature() != nil || !k.private.PublicKey.Equal(r.PublicKey) || len(r.EmailAddresses)+len(r.DNSNames) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A profile is well-formed whatever the names are, has the file in it, and no passphrase.
func TestProfile(t *testing.T) {
	text, err := Profile(rand.Reader, "mx.local.test", `<alice> & "phone"`, []byte("a PKCS #12"))
	must(t, err)
	var any struct{}
	must(t, xml.Unmarshal(text, &any))
	if !strings.Contains(string(text), base64.StdEncoding.EncodeToString([]byte("a PKCS #12"))) ||
		strings.Contains(string(text), "<alice>") || strings.Contains(string(text), "Password") {
		t.Errorf("%s", text)
	}
	ids := regexp.MustCompile(`PayloadUUID</key><string>([0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12})<`).FindAllStringSubmatch(string(text), -1)
	if len(ids) != 2 || ids[0][1] == ids[1][1] {
		t.Errorf("the identifiers are %v", ids)
	}
}
