package mail

import (
	"strings"
)

// ReversePath is the argument of MAIL: an address, or the null path "<>" of
// notifications. The zero ReversePath is neither, and refuses.
type ReversePath struct {
	addr Address
	null bool
}

// NullPath returns the null reverse-path "<>". RFC 5321 §4.5.5.
func NullPath() ReversePath { return ReversePath{null: true} }

// PathOf returns the reverse-path of an address.
func PathOf(a Address) ReversePath { return ReversePath{addr: a} }

// IsNull reports whether p is "<>".
func (p ReversePath) IsNull() bool { return p.null }

// IsZero reports whether p was never set.
func (p ReversePath) IsZero() bool { return !p.null && p.addr.IsZero() }

// Address returns the sender's address; ok is false for the null path.
func (p ReversePath) Address() (a Address, ok bool) { return p.addr, !p.addr.IsZero() }

// String returns the path with its angle brackets.
func (p ReversePath) String() string { return "<" + p.addr.String() + ">" }

// MarshalText writes the path with its brackets; the zero path is empty.
func (p ReversePath) MarshalText() ([]byte, error) {
	if p.IsZero() {
		return nil, nil
	}
	return []byte(p.String()), nil
}

// UnmarshalText parses with ParseReversePath; the empty text is the zero path.
func (p *ReversePath) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*p = ReversePath{}
		return nil
	}
	v, err := ParseReversePath(string(b), UTF8)
	*p = v
	return err
}

// ParseReversePath parses a reverse-path with its angle brackets. A source route
// is refused: RFC 5321 §4.1.1.3 lets a server decline it, and nothing that we
// accept ever routes by it.
func ParseReversePath(s string, cs Charset) (ReversePath, error) {
	inner, err := unbracket(s)
	if err != nil {
		return ReversePath{}, err
	}
	if inner == "" {
		return NullPath(), nil
	}
	a, err := ParseTyped(inner, cs)
	if err != nil {
		return ReversePath{}, err
	}
	return PathOf(a), nil
}

// ParseTyped parses an address that a person or a program gave as the sender or the
// recipient of a message. It is ParseAddress, and the domain may end with the dot of the
// root, which says nothing that the domain does not. RFC 1034 §3.1.
func ParseTyped(s string, cs Charset) (Address, error) {
	if len(s) > MaxPathOctets {
		return Address{}, syntaxError("address", s, tooLongAddress)
	}
	a, err := ParseAddress(strings.TrimSuffix(s, "."), cs)
	if err == nil && strings.HasSuffix(s, ".") && a.domain.IsZero() {
		return Address{}, syntaxError("address", s, "a dot follows its literal")
	}
	return a, err
}

// ForwardPath is the argument of RCPT: an address, or the bare "<Postmaster>"
// that every server accepts. RFC 5321 §4.1.1.3. The zero value refuses.
type ForwardPath struct {
	addr       Address
	postmaster bool
}

// ParseForwardPath parses a forward-path with its angle brackets.
func ParseForwardPath(s string, cs Charset) (ForwardPath, error) {
	inner, err := unbracket(s)
	if err != nil {
		return ForwardPath{}, err
	}
	// RFC 5321 §4.5.1: "postmaster" without a domain, in any case.
	if strings.EqualFold(inner, "postmaster") {
		return ForwardPath{postmaster: true}, nil
	}
	a, err := ParseTyped(inner, cs)
	if err != nil {
		return ForwardPath{}, err
	}
	return ForwardPath{addr: a}, nil
}

// At returns the address that the path names: its own, or for the bare
// postmaster, postmaster at d.
func (p ForwardPath) At(d Domain) (Address, error) {
	if p.postmaster {
		return NewAddress("postmaster", d)
	}
	if p.addr.IsZero() {
		return Address{}, syntaxError("path", "", "it is empty")
	}
	return p.addr, nil
}

// String returns the path with its angle brackets.
func (p ForwardPath) String() string {
	if p.postmaster {
		return "<Postmaster>"
	}
	return "<" + p.addr.String() + ">"
}

func unbracket(s string) (string, error) {
	if len(s) > MaxPathOctets {
		return "", syntaxError("path", s, "it is longer than 256 octets")
	}
	if len(s) < 2 || s[0] != '<' || s[len(s)-1] != '>' {
		return "", syntaxError("path", s, "it does not stand in angle brackets")
	}
	inner := s[1 : len(s)-1]
	if strings.HasPrefix(inner, "@") {
		return "", syntaxError("path", s, "source routes are not accepted")
	}
	return inner, nil
}
