package certificate

// The rules that are named here, each with what it means; docs/rules.md has all of them.
const (
	// RuleCertificateNotObtained: no certificate was obtained; it is tried again.
	RuleCertificateNotObtained = "certificate-not-obtained"
	// RuleCertificateRefused: the files of the certificate do not fit; the former one stays.
	RuleCertificateRefused = "certificate-refused"
	// RuleCertificateRenewed: a new certificate is in force.
	RuleCertificateRenewed = "certificate-renewed"
)
