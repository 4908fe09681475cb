package dnsx

import (
	"errors"
	"strings"

	"sallyport/internal/mail"
)

const (
	maxNameOctets  = 253 // RFC 1035 §2.3.4, in text without the last dot
	maxLabelOctets = 63  // RFC 1035 §2.3.4
)

// ErrBadName is a text that is no name which we ask for or follow.
var ErrBadName = errors.New("only letters, digits, hyphens, underscores and dots may stand in a name, in labels of 1 to 63 octets")

// Name is a name in the DNS: lower case, without the last dot. Unlike a
// mail.Domain it may hold underscores, as service names do and as the names of
// some mail hosts do against the rules. The zero Name is none.
type Name struct{ text string }

// ParseName reads a name as people and DNS libraries write it, with or without
// the last dot. What DNS may carry beyond letters, digits, hyphens and
// underscores (NUL, dots within labels, other escapes) is refused: such a name
// reads differently to different programs.
func ParseName(s string) (Name, error) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > maxNameOctets {
		return Name{}, ErrBadName
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabelOctets || strings.IndexFunc(label, notNameRune) >= 0 {
			return Name{}, ErrBadName
		}
	}
	return Name{strings.ToLower(s)}, nil
}

// NameOf returns the name of a domain; the zero Name for the zero Domain.
func NameOf(d mail.Domain) Name { return Name{d.ASCII()} }

// String returns the name in lower case, without the last dot.
func (n Name) String() string { return n.text }

// IsZero reports whether n is no name.
func (n Name) IsZero() bool { return n.text == "" }

func (n Name) wire() string { return n.text + "." }

func notNameRune(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}
