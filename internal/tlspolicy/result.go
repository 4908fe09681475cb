package tlspolicy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/tlspolicy/dane"
)

// What went wrong with a session. RFC 8460 §4.3.
const (
	ResultNoTLS      = "starttls-not-supported"
	ResultHost       = "certificate-host-mismatch"
	ResultExpired    = "certificate-expired"
	ResultTrust      = "certificate-not-trusted"
	ResultValidation = "validation-failure"
	ResultDNSSEC     = "dnssec-invalid"
)

// Kind is the kind of policy that a session is reported under. RFC 8460 §4.2.
type Kind string

const (
	KindTLSA Kind = "tlsa"
	KindSTS  Kind = "sts"
	KindNone Kind = "no-policy-found"
)

// Session is what became of one attempt to secure a connection, for reports.
type Session struct {
	Domain mail.Domain // whose policy it is about
	Kind   Kind
	Policy []string // the policy's text, a record or a line each
	Hosts  []string // the patterns of an MTA-STS policy
	// Failure is what went wrong, one of the results; "" for a success.
	Failure string
	Host    string     // the mail host; "" when it failed before one was chosen
	Sender  netip.Addr // our own address
	Address netip.Addr // the host's
	Reason  string     // in words, for a failure
}

// Describe begins the Session of facts that were judged.
func Describe(f Facts) Session {
	s := Session{Domain: f.Domain, Kind: KindNone, Host: f.Host.String()}
	switch p := f.STS.Policy; {
	case f.DANE.Kind == dane.KindVerify || f.DANE.Kind == dane.KindEncrypt || f.DANE.Kind == dane.KindUnknown:
		s.Kind = KindTLSA
		for _, r := range f.DANE.Set.Records() {
			s.Policy = append(s.Policy, r.String())
		}
	case p.Mode != 0:
		s.Kind = KindSTS
		s.Policy = append(s.Policy, "version: STSv1", "mode: "+p.Mode.String())
		for _, m := range p.MX {
			s.Policy = append(s.Policy, "mx: "+m.String())
			s.Hosts = append(s.Hosts, m.String())
		}
	}
	return s
}

// ResultOf returns the result of a handshake that failed.
func ResultOf(err error) string {
	var host x509.HostnameError
	var cert x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var verify *tls.CertificateVerificationError
	switch {
	case errors.As(err, &host), errors.Is(err, dane.ErrName):
		return ResultHost
	case errors.As(err, &cert) && cert.Reason == x509.Expired:
		return ResultExpired
	case errors.As(err, &unknown), errors.Is(err, dane.ErrNoMatch), errors.Is(err, dane.ErrChain):
		return ResultTrust
	case errors.As(err, &verify):
		return ResultTrust
	}
	return ResultValidation
}

// VerifyPKIX verifies a presented chain for a host by the authorities that are known.
// RFC 8461 §4.2.
func VerifyPKIX(chain []*x509.Certificate, host string, roots *x509.CertPool, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("the server presented no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between, CurrentTime: now})
	return err
}
