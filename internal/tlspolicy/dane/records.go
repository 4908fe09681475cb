package dane

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"

	"sallyport/internal/dnsx"
)

// The values of a TLSA record that SMTP uses. RFC 6698 §2.1, named by RFC 7218.
const (
	UsageTA = 2 // the record names an authority above the server's certificate
	UsageEE = 3 // the record names the server's certificate itself

	SelectorCert = 0
	SelectorSPKI = 1

	MatchFull   = 0
	MatchSHA256 = 1
	MatchSHA512 = 2
)

// Set is the usable records of a host. The zero Set has none, and verifies nothing.
type Set struct{ records []dnsx.TLSA }

// Len returns how many records there are.
func (s Set) Len() int { return len(s.records) }

// String returns the records as they stand in a zone.
func (s Set) String() string {
	text := ""
	for i, r := range s.records {
		if i > 0 {
			text += ", "
		}
		text += r.String()
	}
	return text
}

// Usable picks the records that can be used. The usages PKIX-TA(0) and PKIX-EE(1)
// can't in SMTP (RFC 7672 §3.1.3), nor can what is not known or of a wrong length. Of
// several digests for one usage and selector only the strongest counts: RFC 7671 §9.
func Usable(all []dnsx.TLSA) Set {
	var s Set
	strongest := map[[2]uint8]uint8{}
	for _, r := range all {
		if usable(r) {
			key := [2]uint8{r.Usage, r.Selector}
			strongest[key] = max(strongest[key], r.Matching)
			s.records = append(s.records, r)
		}
	}
	kept := s.records[:0]
	for _, r := range s.records {
		if r.Matching == MatchFull || r.Matching == strongest[[2]uint8{r.Usage, r.Selector}] {
			kept = append(kept, r)
		}
	}
	return Set{kept}
}

func usable(r dnsx.TLSA) bool {
	if r.Usage != UsageTA && r.Usage != UsageEE || r.Selector > SelectorSPKI {
		return false
	}
	switch r.Matching {
	case MatchSHA256:
		return len(r.Data) == sha256.Size
	case MatchSHA512:
		return len(r.Data) == sha512.Size
	case MatchFull:
		return fullUsable(r)
	}
	return false
}

// fullUsable reports whether a record that holds the thing itself holds one.
func fullUsable(r dnsx.TLSA) bool {
	if r.Selector == SelectorCert {
		_, err := x509.ParseCertificate([]byte(r.Data))
		return err == nil
	}
	_, err := x509.ParsePKIXPublicKey([]byte(r.Data))
	return err == nil
}

// matches reports whether the record is about the certificate. RFC 6698 §2.1.
func matches(r dnsx.TLSA, cert *x509.Certificate) bool {
	selected := cert.Raw
	if r.Selector == SelectorSPKI {
		selected = cert.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case MatchFull:
		return r.Data == string(selected)
	case MatchSHA256:
		sum := sha256.Sum256(selected)
		return r.Data == string(sum[:])
	case MatchSHA512:
		sum := sha512.Sum512(selected)
		return r.Data == string(sum[:])
	}
	return false
}

// Records returns the usable records. The caller owns the slice.
func (s Set) Records() []dnsx.TLSA { return append([]dnsx.TLSA(nil), s.records...) }
