package structure

// Limits bounds what is told about one message.
type Limits struct {
	// Depth is how deep parts may lie within parts; what lies deeper is told as one part.
	Depth int
	// Parts is the largest number of parts, all levels together; the last one takes the rest.
	Parts int
	// HeaderOctets is how much of one header section is looked at, and kept in memory meanwhile.
	HeaderOctets int
	// Fields is how many fields of one header section are looked at.
	Fields int
	// Addresses is the largest number of addresses told of one message, all fields together.
	Addresses int
	// Params is the largest number of parameters of one Content-Type or Content-Disposition.
	Params int
	// ParamOctets is the longest parameter; a longer one is left out.
	ParamOctets int
	// BoundaryOctets is the longest boundary of a multipart. RFC 2046 §5.1.1 allows 70.
	BoundaryOctets int
	// KeptOctets is the longest text of all that is told of one message together, so that an
	// index of many messages is bounded; what comes after it is told as absent.
	KeptOctets int
	// PreviewOctets is how much of a decoded text is looked at for a preview.
	PreviewOctets int
	// PreviewCharacters is the longest preview. RFC 8970 §3.2 asks for at most 200.
	PreviewCharacters int
}

// DefaultLimits returns 50 levels, 1,000 parts, 256 KiB and 2,000 fields of a header section,
// 4,000 addresses, 100 parameters of 4 KiB, boundaries of 250 octets, 512 KiB kept, and 200
// characters of preview out of 32 KiB.
func DefaultLimits() Limits {
	return Limits{
		Depth: 50, Parts: 1000, HeaderOctets: 256 << 10, Fields: 2000, Addresses: 4000, Params: 100,
		ParamOctets: 4 << 10, BoundaryOctets: 250, KeptOctets: 512 << 10, PreviewOctets: 32 << 10, PreviewCharacters: 200,
	}
}
