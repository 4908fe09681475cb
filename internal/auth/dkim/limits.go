package dkim

import "time"

// Limits bounds what the signatures of one message may cost.
type Limits struct {
	// Signatures is how many of a message are verified, those of the author's domain
	// first, then from the top; the rest are reported as not looked at.
	Signatures int
	// SignatureOctets bounds one DKIM-Signature field.
	SignatureOctets int
	// SignedFields bounds the names in the h= tag of one signature.
	SignedFields int
	// BodyHashes is how many different ways of hashing the body are computed for one
	// message (canonicalisation and l= differ).
	BodyHashes int
	// Tags bounds the tags of a signature or of a key record.
	Tags int
	// RecordOctets bounds a key record, Records how many keys at one name are tried.
	RecordOctets, Records int
	// MinRSABits and MaxRSABits bound the keys that count. RFC 8301 §3.2.
	MinRSABits, MaxRSABits int
	// Enough is how many signatures of one domain pass before the others of it are not
	// verified any more: they would say nothing new. 0: all are.
	Enough int
	// Skew is how far in the future a signature may have been made.
	Skew time.Duration
}

// DefaultLimits returns the bounds of a server that was told nothing.
func DefaultLimits() Limits {
	return Limits{
		Signatures: 8, SignatureOctets: 64 << 10, SignedFields: 200, BodyHashes: 3, Tags: 40,
		RecordOctets: 4 << 10, Records: 3, MinRSABits: 1024, MaxRSABits: 4096, Skew: time.Hour,
	}
}
