package mail

// TLSMode says when a connection to another server speaks TLS. The zero mode is undecided,
// and refused.
type TLSMode uint8

const (
	TLSUndecided TLSMode = iota
	// TLSNone speaks clear text even where STARTTLS is offered.
	TLSNone
	// TLSOpportunistic takes TLS where it is offered and trusts any certificate: it
	// protects against listeners, and against nobody in the middle. RFC 7435.
	TLSOpportunistic
	// TLSRequired demands STARTTLS and a certificate that verifies. RFC 3207.
	TLSRequired
	// TLSImplicit begins with TLS and a certificate that verifies. RFC 8314 §3.
	TLSImplicit
)

// Decided reports whether the mode is one of those that say something.
func (m TLSMode) Decided() bool { return m > TLSUndecided && m <= TLSImplicit }
