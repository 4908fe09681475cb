// Package device makes what a device needs to sign in by certificate: its key, the request that
// shows the key to an authority, and both in the formats that programs import.
//
// It promises that the key leaves a Key only in PEM, PKCS12 and Profile, and that none of
// these holds an authority's certificate: signing in needs none, and a device that imports
// one may come to trust it with servers.
package device

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"io"

	"software.sslmate.com/src/go-pkcs12"
)

// Key is the private key of a device: ECDSA P-256, which every program reads. NSS, and so
// Thunderbird, takes no Ed25519.
type Key struct{ private *ecdsa.PrivateKey }

// NewKey makes a key of chance.
func NewKey(rnd io.Reader) (Key, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rnd)
	return Key{k}, err
}

// Request is the PKCS #10 in PEM that shows that the key is ours. What the certificate is to
// say stands not in it: that is for who signs it.
func (k Key) Request(rnd io.Reader) (string, error) {
	der, err := x509.CreateCertificateRequest(rnd, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "device"}}, k.private)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), err
}

// Identity is a key with its certificate.
type Identity struct {
	key         Key
	certificate *x509.Certificate
}

// ErrOther says that a certificate is of another key.
var ErrOther = errors.New("device: the certificate is not of this key")

// New returns the identity of a key and its certificate in PEM.
func New(k Key, certificate string) (Identity, error) {
	block, _ := pem.Decode([]byte(certificate))
	if block == nil || block.Type != "CERTIFICATE" {
		return Identity{}, errors.New("device: this is no certificate in PEM")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return Identity{}, fmt.Errorf("device: the certificate does not read: %w", err)
	}
	if !k.private.PublicKey.Equal(c.PublicKey) {
		return Identity{}, ErrOther
	}
	return Identity{k, c}, nil
}

// PEM is the key, in clear, and the certificate.
func (i Identity) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(i.key.private)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.certificate.Raw})...), nil
}

// PKCS12 is both under a passphrase of ASCII, in the form (PBES2, AES-256, HMAC-SHA-256) that
// OpenSSL 3, GnuTLS, NSS and Java read. RFC 7292
func (i Identity) PKCS12(rnd io.Reader, passphrase string) ([]byte, error) {
	for _, r := range passphrase {
		if r < ' ' || r > '~' {
			return nil, errors.New("device: the passphrase is not of ASCII, which Java does not read")
		}
	}
	return pkcs12.Modern2023.WithRand(rnd).Encode(i.key.private, i.certificate, nil, passphrase)
}

// Profile is a configuration profile for devices of Apple, which installs a PKCS #12. Its
// passphrase is not in it: the device asks for it. server and title are shown to the user.
func Profile(rnd io.Reader, server, title string, p12 []byte) ([]byte, error) {
	outer, err := uuid(rnd)
	if err != nil {
		return nil, err
	}
	inner, err := uuid(rnd)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(profileHead)
	pair := func(indent, key, value string) {
		fmt.Fprintf(&b, "%s<key>%s</key><string>", indent, key)
		_ = xml.EscapeText(&b, []byte(value)) // a buffer takes everything
		b.WriteString("</string>\n")
	}
	pair("\t", "PayloadType", "Configuration")
	pair("\t", "PayloadIdentifier", "sallyport."+outer)
	pair("\t", "PayloadUUID", outer)
	pair("\t", "PayloadDisplayName", title)
	pair("\t", "PayloadDescription", "A certificate for signing in to "+server+".")
	pair("\t", "PayloadOrganization", server)
	b.WriteString("\t<key>PayloadContent</key>\n\t<array><dict>\n\t\t<key>PayloadVersion</key><integer>1</integer>\n")
	pair("\t\t", "PayloadType", "com.apple.security.pkcs12")
	pair("\t\t", "PayloadIdentifier", "sallyport."+outer+"."+inner)
	pair("\t\t", "PayloadUUID", inner)
	pair("\t\t", "PayloadDisplayName", title)
	pair("\t\t", "PayloadCertificateFileName", "identity.p12")
	fmt.Fprintf(&b, "\t\t<key>PayloadContent</key><data>%s</data>\n\t</dict></array>\n</dict></plist>\n",
		base64.StdEncoding.EncodeToString(p12))
	return b.Bytes(), nil
}

const profileHead = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
	<key>PayloadVersion</key><integer>1</integer>
`

// uuid is one of chance. RFC 9562 §5.4
func uuid(rnd io.Reader) (string, error) {
	var o [16]byte
	if _, err := io.ReadFull(rnd, o[:]); err != nil {
		return "", fmt.Errorf("device: reading random octets: %w", err)
	}
	o[6], o[8] = o[6]&0x0f|0x40, o[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", o[:4], o[4:6], o[6:8], o[8:10], o[10:]), nil
}
