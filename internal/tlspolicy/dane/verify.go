package dane

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/dnsx"
)

var (
	// ErrNoMatch says that no record is about what the server presents.
	ErrNoMatch = errors.New("no TLSA record matches the certificate")
	// ErrName says that a certificate of the right authority is for other names.
	ErrName = errors.New("the certificate is for another name")
	// ErrChain says that a certificate does not verify up to the authority that a
	// record names: expired, not signed by it, or not fit for a server.
	ErrChain = errors.New("the certificate does not verify by the authority in the TLSA record")
)

// Verify reports by which record the presented chain, the server's own certificate
// first, is the right one. names are the names that the server may have: the name of
// the records, the mail host's and the next-hop domain's. RFC 7672 §3.2.2.
func (s Set) Verify(chain []*x509.Certificate, names []string, now time.Time) (dnsx.TLSA, error) {
	if len(chain) == 0 {
		return dnsx.TLSA{}, ErrNoMatch
	}
	// RFC 7672 §3.1.1: with DANE-EE neither names nor dates are looked at; the record
	// itself says whose key it is and for how long.
	for _, r := range s.records {
		if r.Usage == UsageEE && matches(r, chain[0]) {
			return r, nil
		}
	}
	failed := ErrNoMatch
	for _, r := range s.records {
		if r.Usage != UsageTA {
			continue
		}
		err := verifyTA(r, chain, names, now)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, ErrNoMatch) {
			failed = err
		}
	}
	return dnsx.TLSA{}, failed
}

// verifyTA verifies up to an authority that the record names: one of the chain, or
// the certificate that the record itself holds. RFC 7672 §3.1.2.
func verifyTA(r dnsx.TLSA, chain []*x509.Certificate, names []string, now time.Time) error {
	roots, between, found := x509.NewCertPool(), x509.NewCertPool(), false
	for _, c := range chain {
		if matches(r, c) {
			roots.AddCert(c)
			found = true
		} else {
			between.AddCert(c)
		}
	}
	if r.Selector == SelectorCert && r.Matching == MatchFull && !found {
		if c, err := x509.ParseCertificate([]byte(r.Data)); err == nil {
			roots.AddCert(c)
			found = true
		}
	}
	if !found {
		return ErrNoMatch
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrChain, err)
	case !named(chain[0], names):
		return ErrName
	}
	return nil
}

// named reports whether the certificate is for one of the names. RFC 7672 §3.2.3: the
// common name counts only where there is no DNS name at all.
func named(c *x509.Certificate, names []string) bool {
	if len(c.DNSNames) == 0 {
		return slices.ContainsFunc(names, func(n string) bool {
			return n != "" && strings.EqualFold(n, strings.TrimSuffix(c.Subject.CommonName, "."))
		})
	}
	return slices.ContainsFunc(names, func(n string) bool { return n != "" && c.VerifyHostname(n) == nil })
}
