package structure

// What is the part of a section that is asked for. RFC 9051 §6.4.5.
type What uint8

const (
	// Whole is the part itself: the whole message without a path, else the body of the part.
	Whole What = iota
	// Header is HEADER: of the message, or of the message in a message/rfc822.
	Header
	// Body is TEXT: of the message, or of the message in a message/rfc822.
	Body
	// MIME is the MIME header of a part.
	MIME
)

// Section says where a section lies: BODY[1.2.HEADER] is Section([]uint32{1, 2}, Header). ok is
// false if there is no such section. HEADER.FIELDS is Fields of the octets of HEADER.
func (s Structure) Section(path []uint32, what What) (where Span, ok bool) {
	if len(path) == 0 {
		switch what {
		case Whole:
			h, b := s.Part.Header, s.Part.Body
			return Span{Start: h.Start, End: b.End, Size: h.Size + b.Size, Lines: h.Lines + b.Lines}, true
		case Header:
			return s.Part.Header, true
		case Body:
			return s.Part.Body, true
		}
		return Span{}, false
	}
	part, ok := s.Find(path)
	if !ok {
		return Span{}, false
	}
	switch {
	case what == Whole:
		return part.Body, true
	case what == MIME:
		return part.Header, true
	case part.Message == nil:
		return Span{}, false
	}
	return part.Message.Section(nil, what)
}

// Find returns the part of that path. Parts of a multipart are counted from 1; a message that is
// no multipart has one part, itself. RFC 9051 §6.4.5.
func (s Structure) Find(path []uint32) (*Part, bool) {
	part := &s.Part
	inside := true // path[0] counts the parts of part, not those of a message in it
	for _, n := range path {
		if !inside && part.Message != nil {
			part, inside = &part.Message.Part, true
		}
		switch {
		case n == 0:
			return nil, false
		case len(part.Parts) > 0:
			if int64(n) > int64(len(part.Parts)) {
				return nil, false
			}
			part = &part.Parts[n-1]
		case !inside || n != 1:
			return nil, false
		}
		inside = false
	}
	return part, len(path) > 0
}

// Leaves calls take for each part that is no multipart, in their order, with the messages in it
// before their parts, until it returns false.
func (s Structure) Leaves(take func(*Part) bool) { s.Part.leaves(take) }

func (p *Part) leaves(take func(*Part) bool) bool {
	for i := range p.Parts {
		if !p.Parts[i].leaves(take) {
			return false
		}
	}
	switch {
	case len(p.Parts) > 0:
		return true
	case !take(p):
		return false
	case p.Message != nil:
		return p.Message.Part.leaves(take)
	}
	return true
}
