// Package policytest makes certificates for tests of TLS policies: right, wrong and
// expired ones, of an authority that lives as long as the test.
package policytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"time"
)

// Authority issues certificates.
type Authority struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Leaf says what a certificate is to be like.
type Leaf struct {
	Names   []string
	Expired bool
	// Alone leaves the authority's certificate out of the chain that is sent.
	Alone bool
}

// NewAuthority returns a fresh authority.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := template("test authority", -time.Hour, 24*time.Hour)
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
	cert, err := sign(tmpl, tmpl, key, key)
	return &Authority{Cert: cert, key: key}, err
}

// Pool returns the authority as the roots to trust.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Cert)
	return pool
}

// PEM returns the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Cert.Raw})
}

// Issue returns a certificate with its key; the authority's stands behind it.
func (a *Authority) Issue(l Leaf) (tls.Certificate, error) {
	if len(l.Names) == 0 {
		return tls.Certificate{}, errors.New("policytest: a certificate needs a name")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	from, to := -time.Hour, 24*time.Hour
	if l.Expired {
		from, to = -48*time.Hour, -24*time.Hour
	}
	tmpl := template(l.Names[0], from, to)
	tmpl.DNSNames, tmpl.KeyUsage = l.Names, x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	cert, err := sign(tmpl, a.Cert, key, a.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	c := tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	if !l.Alone {
		c.Certificate = append(c.Certificate, a.Cert.Raw)
	}
	return c, nil
}

func template(name string, from, to time.Duration) *x509.Certificate {
	now := time.Now()
	serial := new(big.Int).SetInt64(now.UnixNano())
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(from), NotAfter: now.Add(to)}
}

func sign(tmpl, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
