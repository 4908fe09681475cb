package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"testing"

	"sallyport/internal/mail"
)

// asking returns a request that asks for whatever a thief would like to be.
func asking(t *testing.T, key crypto.Signer) string {
	t.Helper()
	constraints, err := asn1.Marshal(struct{ CA bool }{true})
	must(t, err)
	usage, err := asn1.Marshal(asn1.BitString{Bytes: []byte{0x06}, BitLength: 7}) // keyCertSign, cRLSign
	must(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "postmaster@local.test", Organization: []string{"A bank"}},
		DNSNames: []string{"mx.local.test", "*.bank.example"}, EmailAddresses: []string{"bob@local.test", "bob@local.test\x00@evil.example"},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: constraints},
			{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: usage},
		},
	}, key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// Whatever a request asks for, of it the key alone is taken.
func TestOfARequestTheKeyAloneIsTaken(t *testing.T) {
	w := newWorld(t)
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	alice, err := mail.ParseAddress("alice@local.test", mail.UTF8)
	must(t, err)
	for _, key := range []crypto.Signer{strong, p384} {
		s, err := w.Sign(t.Context(), Request{Account: alice, Device: "phone", PKCS10: asking(t, key)}, func(Signed) error { return nil })
		must(t, err)
		c := s.Certificate
		want := pkix.Name{CommonName: "alice@local.test", OrganizationalUnit: []string{"phone"}}
		if c.Subject.String() != want.String() || len(c.DNSNames) != 0 || len(c.EmailAddresses) != 1 || c.EmailAddresses[0] != "alice@local.test" {
			t.Errorf("it is for %s, %v, %v", c.Subject, c.DNSNames, c.EmailAddresses)
		}
		if c.IsCA || c.KeyUsage != x509.KeyUsageDigitalSignature || len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || len(c.UnknownExtKeyUsage) != 0 {
			t.Errorf("it is good for %v, %v, an authority: %v", c.KeyUsage, c.ExtKeyUsage, c.IsCA)
		}
		if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(c.PublicKey) {
			t.Error("it is of another key")
		}
	}
}

// Keys that are weak, or that some programs do not read, are not signed.
func TestUnfitKeys(t *testing.T) {
	// crypto/rsa makes no short keys any more, but others do.
	weak := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1022), E: 65537}}
	if err := fitKey(&weak.PublicKey); !errors.Is(err, ErrRequest) {
		t.Errorf("RSA with 1023 bits: %v", err)
	}
	huge := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 16384), E: 65537}
	if err := fitKey(huge); !errors.Is(err, ErrRequest) {
		t.Errorf("RSA with 16385 bits: %v", err)
	}
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(t, err)
		if _, err := publicKeyOf(asking(t, key), DefaultLimits()); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", curve.Params().Name, err)
		}
	}
}
