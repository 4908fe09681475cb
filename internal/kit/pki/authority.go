package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
)

const (
	// AuthorityYears is how long an authority is valid.
	AuthorityYears = 10
	// ServerDays is how long a server certificate is valid: as long as the
	// strictest clients accept.
	ServerDays = 397
	// RenewBefore is how long before its end a server certificate is replaced.
	RenewBefore = 30 * 24 * time.Hour
	// backdate lets clients whose clock is slow accept a new certificate.
	backdate = time.Hour
)

// Names are what a certificate is for.
type Names struct {
	Hosts     []string // DNS names; for an authority, also all names below them
	Addresses []netip.Addr
}

// Authority issues server certificates. The zero Authority issues none.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority, with a new ECDSA P-256 key, that can vouch for
// the given names alone.
func NewAuthority(title string, permitted Names, now time.Time) (Authority, error) {
	if len(permitted.Hosts) == 0 && len(permitted.Addresses) == 0 {
		return Authority{}, errors.New("pki: an authority needs names that it may vouch for")
	}
	serial, err := newSerial()
	if err != nil {
		return Authority{}, err
	}
	template := &x509.Certificate{
		SerialNumber:                serial,
		Subject:                     pkix.Name{CommonName: title},
		NotBefore:                   now.Add(-backdate),
		NotAfter:                    now.AddDate(AuthorityYears, 0, 0),
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         permitted.Hosts,
		PermittedIPRanges:           single(permitted.Addresses),
	}
	// RFC 5280 §4.2.1.10: a kind of name without a constraint is free, so a kind
	// that is not permitted at all is excluded as a whole.
	if len(permitted.Addresses) == 0 {
		template.ExcludedIPRanges = everyAddress()
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Authority{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return Authority{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return Authority{cert, key}, err
}

// parseAuthority reads what CertPEM and KeyPEM wrote.
func parseAuthority(certPEM, keyPEM []byte) (Authority, error) {
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return Authority{}, err
	}
	block, _ := pem.Decode(keyPEM)
	if block == nil || block.Type != "PRIVATE KEY" {
		return Authority{}, errors.New("pki: the key is no PEM private key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return Authority{}, fmt.Errorf("pki: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) || !cert.IsCA {
		return Authority{}, errors.New("pki: certificate and key are no authority together")
	}
	return Authority{cert, key}, nil
}

// Issue makes a server certificate with a key of its own, for names that the
// authority may vouch for. Both are PEM; the certificate stands without its chain,
// since clients hold the authority.
func (a Authority) Issue(n Names, now time.Time) (certPEM, keyPEM []byte, err error) {
	if a.cert == nil || a.key == nil || len(n.Hosts) == 0 {
		return nil, nil, errors.New("pki: a certificate needs an authority and a host name")
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: n.Hosts[0]},
		NotBefore:    now.Add(-backdate),
		NotAfter:     earlier(now.AddDate(0, 0, ServerDays), a.cert.NotAfter),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     n.Hosts,
		IPAddresses:  netIPs(n.Addresses),
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	if err := a.vouches(cert, n, now); err != nil {
		return nil, nil, err
	}
	keyPEM, err = encodeKey(key)
	return encodeCertificate(der), keyPEM, err
}

// vouches reports why clients that trust a would refuse cert for one of its names.
func (a Authority) vouches(cert *x509.Certificate, n Names, now time.Time) error {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	names := append([]string(nil), n.Hosts...)
	for _, ip := range n.Addresses {
		names = append(names, ip.String())
	}
	for _, name := range names {
		opts := x509.VerifyOptions{Roots: roots, CurrentTime: now, DNSName: name,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		if _, err := cert.Verify(opts); err != nil {
			return fmt.Errorf("pki: for %s: %w", name, err)
		}
	}
	return nil
}

// CertPEM returns the authority's certificate, which clients are given to trust.
func (a Authority) CertPEM() []byte { return encodeCertificate(a.cert.Raw) }

// KeyPEM returns the authority's private key.
func (a Authority) KeyPEM() ([]byte, error) { return encodeKey(a.key) }

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("pki: this is no PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	return cert, nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// newSerial returns 127 bits of chance. RFC 5280 §4.1.2.2 allows 20 octets.
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

func netIPs(addrs []netip.Addr) []net.IP {
	var out []net.IP
	for _, a := range addrs {
		out = append(out, net.IP(a.AsSlice()))
	}
	return out
}

// single returns the networks of one address each.
func single(addrs []netip.Addr) []*net.IPNet {
	var out []*net.IPNet
	for _, a := range addrs {
		out = append(out, &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())})
	}
	return out
}

func everyAddress() []*net.IPNet {
	return []*net.IPNet{
		{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
