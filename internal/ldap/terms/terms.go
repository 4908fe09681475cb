package terms

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	wire "github.com/go-ldap/ldap/v3"
)

// Attribute is the name of an attribute, as RFC 4512 §1.4 writes them.
type Attribute string

// ParseAttribute reads the name of an attribute.
func ParseAttribute(text string) (Attribute, error) {
	if !isDescriptor(text) && !isNumeric(text) {
		return "", errors.New("this is no name of an attribute")
	}
	return Attribute(text), nil
}

// isDescriptor: a letter, then letters, digits and hyphens. Options, as ";binary", name no
// attribute that holds an address.
func isDescriptor(text string) bool {
	other := func(c rune) bool { return !isLetter(c) && !isDigit(c) && c != '-' }
	return text != "" && len(text) <= maxAttribute && isLetter(rune(text[0])) && !strings.ContainsFunc(text, other)
}

// isNumeric: at least two numbers with dots between them.
func isNumeric(text string) bool {
	parts := strings.Split(text, ".")
	other := func(p string) bool {
		return p == "" || strings.ContainsFunc(p, func(c rune) bool { return !isDigit(c) })
	}
	return len(parts) > 1 && len(text) <= maxAttribute && !slices.ContainsFunc(parts, other)
}

// maxAttribute is the most octets of an attribute's name.
const maxAttribute = 100

func isLetter(c rune) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c rune) bool  { return c >= '0' && c <= '9' }

// Filter is a search filter, RFC 4515, in which values cannot become part of its structure.
// The zero Filter is none.
type Filter struct{ text string }

// ParseFilter reads a filter as an administrator wrote it.
func ParseFilter(text string) (Filter, error) {
	if _, err := wire.CompileFilter(text); err != nil {
		return Filter{}, fmt.Errorf("this is no filter: %w", err)
	}
	return Filter{text}, nil
}

// Equal is the filter of entries of which a value of the attribute is value. RFC 4515 §3.
func Equal(a Attribute, value string) Filter {
	return Filter{"(" + string(a) + "=" + wire.EscapeFilter(value) + ")"}
}

// Present is the filter of entries that have the attribute.
func Present(a Attribute) Filter { return Filter{"(" + string(a) + "=*)"} }

// And is the filter of entries that pass all.
func And(all ...Filter) Filter { return Filter{"(&" + joined(all) + ")"} }

// Or is the filter of entries that pass one.
func Or(all ...Filter) Filter { return Filter{"(|" + joined(all) + ")"} }

func joined(all []Filter) string {
	var b strings.Builder
	for _, f := range all {
		b.WriteString(f.text)
	}
	return b.String()
}

// IsZero reports whether f is no filter.
func (f Filter) IsZero() bool { return f.text == "" }

// String returns the filter as RFC 4515 writes it.
func (f Filter) String() string { return f.text }

// DN is a distinguished name, RFC 4514. The zero DN is none; the empty name, which stands
// for nobody in a bind, cannot be made.
type DN struct{ text string }

// ParseDN reads a distinguished name as others wrote it.
func ParseDN(text string) (DN, error) {
	dn, err := wire.ParseDN(text)
	switch {
	case err != nil:
		return DN{}, fmt.Errorf("this is no distinguished name: %w", err)
	case len(dn.RDNs) == 0:
		return DN{}, errors.New("this is the empty name, which is nobody's")
	}
	return DN{text}, nil
}

// Child returns the name of an entry right below d, with one attribute. RFC 4514 §2.4.
func (d DN) Child(a Attribute, value string) DN {
	return DN{string(a) + "=" + wire.EscapeDN(value) + "," + d.text}
}

// IsZero reports whether d is no name.
func (d DN) IsZero() bool { return d.text == "" }

// String returns the name as it was written.
func (d DN) String() string { return d.text }

// Same reports whether two texts name the same: as distinguished names, without regard
// to capitals, or as they stand.
func Same(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	one, err := wire.ParseDN(a)
	if err != nil {
		return false
	}
	other, err := wire.ParseDN(b)
	return err == nil && len(one.RDNs) > 0 && one.EqualFold(other)
}
