package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"sallyport/internal/mail"
)

const (
	// backdate lets others whose clock is slow take a new certificate.
	backdate = time.Hour
	// nameOctets bounds a common name. RFC 5280 appendix A, ub-common-name
	nameOctets = 64
	// minRSABits and maxRSABits bound an RSA key of a device.
	minRSABits = 2048
	maxRSABits = 8192
)

// Limits bounds what an authority does.
type Limits struct {
	// Years is how long an authority is valid.
	Years int
	// Days is how long a certificate of a device is valid that nobody said more of, and
	// MaxDays how long at most.
	Days, MaxDays int
	// Overlap is how long a certificate stays good beside the one that takes its place.
	Overlap time.Duration
	// CRL is for how long a revocation list is good.
	CRL time.Duration
	// Kept is for how long a certificate is listed, and known, after its end.
	Kept time.Duration
	// Warn is how long before its end an authority is warned of.
	Warn time.Duration
	// RequestOctets bounds a request for a certificate.
	RequestOctets int
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits {
	day := 24 * time.Hour
	return Limits{
		Years: 10, Days: 365, MaxDays: 1825, Overlap: 30 * day, CRL: 7 * day, Kept: 30 * day, Warn: 365 * day,
		RequestOctets: 16 << 10,
	}
}

var (
	// ErrRequest says that a request for a certificate is none that can be met.
	ErrRequest = errors.New("ca: the request for a certificate is unfit")
	// ErrNoKey says that the key of the authority is not to be had.
	ErrNoKey = errors.New("ca: the authority's key cannot be used")
	// ErrTooLong says that a certificate would outlive what may be.
	ErrTooLong = errors.New("ca: the certificate would be valid for too long")
	// ErrNoSuch says that there is no such authority.
	ErrNoSuch = errors.New("ca: there is no such authority")
)

// Request is what a certificate is to say.
type Request struct {
	Account mail.Address
	Device  string
	Days    int    // 0: Limits.Days
	PKCS10  string // PEM: the public key, and that its holder has the private one
}

// publicKeyOf reads a request. Of what it asks for, only the public key is taken.
func publicKeyOf(text string, l Limits) (any, error) {
	if len(text) > l.RequestOctets {
		return nil, fmt.Errorf("%w: it has more than %d octets", ErrRequest, l.RequestOctets)
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, fmt.Errorf("%w: it is no PKCS #10 in PEM", ErrRequest)
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if err := fitKey(r.PublicKey); err != nil {
		return nil, err // before work is done with it
	}
	// RFC 2986 §3: the signature shows that whoever asks has the private key.
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return r.PublicKey, nil
}

// fitKey says why a key is none that every program reads and nobody breaks.
func fitKey(public any) error {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return nil
		}
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n >= minRSABits && n <= maxRSABits {
			return nil
		}
	}
	// NSS, and so Thunderbird, takes no Ed25519.
	return fmt.Errorf("%w: the key must be ECDSA P-256 or P-384, or RSA with %d to %d bits, which every program reads",
		ErrRequest, minRSABits, maxRSABits)
}

// authorityTemplate is the certificate of the authority of that number.
func authorityTemplate(host mail.Domain, number int, serial *big.Int, l Limits, now time.Time) *x509.Certificate {
	title := fmt.Sprintf("%s devices %d", host.ASCII(), number)
	if len(title) > nameOctets {
		title = fmt.Sprintf("sallyport devices %d", number)
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: title},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(l.Years, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		// Whoever trusts it trusts it with clients, and with no server.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// deviceTemplate is the certificate of a device. ca is the certificate of who signs it.
func deviceTemplate(r Request, ca *x509.Certificate, serial *big.Int, l Limits, now time.Time) (*x509.Certificate, error) {
	days := r.Days
	if days == 0 {
		days = l.Days
	}
	ends := now.AddDate(0, 0, days)
	switch {
	case days < 1 || days > l.MaxDays:
		return nil, fmt.Errorf("%w: it is 1 to %d days", ErrTooLong, l.MaxDays)
	case ends.After(ca.NotAfter):
		return nil, fmt.Errorf("%w: the authority ends on %s; make a new one with: sallyport cert ca rollover",
			ErrTooLong, ca.NotAfter.UTC().Format(time.DateOnly))
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		NotBefore:    now.Add(-backdate),
		NotAfter:     ends,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	// Others that trust the authority take the common name for the user's.
	if who := r.Account.String(); len(who) <= nameOctets {
		t.Subject.CommonName = who
	}
	if len(r.Device) <= nameOctets {
		t.Subject.OrganizationalUnit = []string{r.Device}
	}
	if r.Account.IsASCII() {
		t.EmailAddresses = []string{r.Account.String()} // RFC 5280 §4.2.1.6
	} else if t.Subject.CommonName == "" && len(t.Subject.OrganizationalUnit) == 0 {
		t.Subject.SerialNumber = serial.Text(16) // a subject must not be empty without another name
	}
	return t, nil
}

// listTemplate is a revocation list of what an authority signed. RFC 5280 §5
func listTemplate(all []Issued, number *big.Int, l Limits, now time.Time) *x509.RevocationList {
	list := &x509.RevocationList{Number: number, ThisUpdate: now.Add(-backdate), NextUpdate: now.Add(l.CRL)}
	for _, i := range all {
		if reason, listed := i.reason(); listed {
			list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: i.Serial, RevocationTime: i.Lost, ReasonCode: reason,
			})
		}
	}
	return list
}
