package dnsx

import (
	"errors"
	"fmt"
	"strings"

	"sallyport/internal/mail"
)

const (
	maxNameOctets = 253 // RFC 1035 §2.3.4, in text without the last dot
)

// ErrBadName is a text that is no name which we ask for.
var ErrBadName = errors.New("only letters, digits, hyphens, underscores and dots may stand in a name, in labels of 1 to 63 octets")

// Name is a name in the DNS: lower case, without the last dot. Unlike a
// mail.Domain it may hold underscores, as service names do and as the names of
// some mail hosts do against the rules, and where it came from NameOfOctets or from
// the DNS itself, any octets at all. The zero Name is none.
//
// The text is what zone files have: what could be misread in a label is escaped, so
// that one name has one text and every text is printable. The root is ".".
type Name struct{ text string }

// root is where an alias leads that leads nowhere.
const root = "."

// ParseName reads a name as people and DNS libraries write it, with or without
// the last dot. What DNS may carry beyond letters, digits, hyphens and
// underscores (NUL, dots within labels, other escapes) is refused: such a name
// reads differently to different programs.
func ParseName(s string) (Name, error) {
	s = strings.TrimSuffix(s, ".")
	if strings.IndexFunc(s, notNameRune) >= 0 {
		return Name{}, ErrBadName
	}
	return NameOfOctets(s)
}

// NameOfOctets returns the name whose labels are s between its dots, with or without
// the last one, whatever octets they hold. RFC 2181 §11: the DNS forbids none.
func NameOfOctets(s string) (Name, error) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > maxNameOctets {
		return Name{}, ErrBadName
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > mail.MaxLabelOctets {
			return Name{}, ErrBadName
		}
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c >= 'A' && c <= 'Z':
			b.WriteByte(c | 0x20)
		case strings.IndexByte(` '@;()"\\`, c) >= 0:
			b.WriteString("\\" + string(rune(c)))
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	return Name{b.String()}, nil
}

// nameFromWire takes a name that the library read off the wire: it escapes as Name
// does.
func nameFromWire(s string) Name {
	if s == root {
		return Name{root}
	}
	return Name{strings.ToLower(strings.TrimSuffix(s, "."))}
}

// NameOf returns the name of a domain; the zero Name for the zero Domain.
func NameOf(d mail.Domain) Name { return Name{d.ASCII()} }

// String returns the name in lower case, without the last dot.
func (n Name) String() string { return n.text }

// IsZero reports whether n is no name.
func (n Name) IsZero() bool { return n.text == "" }

// Octets returns the labels with dots between them, nothing escaped; false for the
// root, and for a name with a dot within a label, which cannot be told from two.
func (n Name) Octets() (string, bool) {
	if n.text == root {
		return "", false
	}
	for i := 0; i+1 < len(n.text); i++ {
		if n.text[i] != '\\' {
			continue
		}
		if i++; n.text[i] == '.' {
			return "", false
		}
	}
	var b strings.Builder
	unescape(&b, n.text)
	return b.String(), n.text != ""
}

// Below returns the name with labels put before it, as service names are made; an
// error where it becomes too long.
func (n Name) Below(labels string) (Name, error) {
	head, err := ParseName(labels)
	if err != nil || n.IsZero() || n.text == root {
		return Name{}, ErrBadName
	}
	whole := Name{head.text + "." + n.text}
	var plain strings.Builder
	unescape(&plain, whole.text)
	if plain.Len() > maxNameOctets {
		return Name{}, ErrBadName
	}
	return whole, nil
}

func (n Name) wire() string {
	if n.text == root {
		return root
	}
	return n.text + "."
}

func notNameRune(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
}
