package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// MaxDomainOctets is the longest domain name accepted, as A-labels without a
// trailing dot. RFC 5321 §4.5.3.1.2 allows 255 octets; the DNS can carry 253.
const MaxDomainOctets = 253

// Domain is a fully qualified domain name in its one canonical form: lower-case
// A-labels without a trailing dot. The zero Domain is no domain.
type Domain struct{ ascii string }

// ParseHostname parses the name of what we are or run: a host, or a domain of ours. It
// is ParseDomain, and the name must obey the rules for host names: Domain.Oddity.
func ParseHostname(s string) (Domain, error) {
	d, err := ParseDomain(s)
	if err != nil {
		return Domain{}, err
	}
	if odd := d.Oddity(); odd != "" {
		return Domain{}, syntaxError("domain", s, odd)
	}
	return d, nil
}

// ParseDomain parses a domain name given as A-labels or U-labels.
//
// It maps nothing but letter case: a name that needs any other Unicode mapping
// (soft hyphens, full-width letters, ideographic full stops) is refused, because
// two programs that map it differently would disagree about where mail goes. A
// trailing dot, an empty or over-long label, and a numeric last label (an IPv4 address
// in disguise) are refused too. In ASCII, any label of letters, digits, hyphens and
// underscores passes, since the DNS has such names and mail comes from them; what is odd
// about them is for Oddity to say. RFC 2181 §11.
func ParseDomain(s string) (Domain, error) {
	if s == "" {
		return Domain{}, syntaxError("domain", s, "it is empty")
	}
	// Encoding takes time quadratic in the length of a label, so the lengths are
	// bounded first.
	if reason := tooLong(s); reason != "" {
		return Domain{}, syntaxError("domain", s, reason)
	}
	if !utf8.ValidString(s) {
		return Domain{}, syntaxError("domain", s, "it is not UTF-8")
	}
	ascii := s
	if !isASCII(s) {
		profile := registration()
		if strings.IndexFunc(s, notPValid) >= 0 {
			return Domain{}, syntaxError("domain", s, "it holds a character that is neither a letter, a mark nor a digit")
		}
		// As it stands first: a script whose lower case came late to Unicode
		// (Cherokee) is written in what looks like capitals.
		a, err := profile.ToASCII(strings.Map(lowerASCII, s))
		if err != nil {
			a, err = profile.ToASCII(strings.Map(lowerKeepingScript, s))
		}
		if err != nil {
			return Domain{}, syntaxError("domain", s, "it is not an internationalised domain name in normal form")
		}
		ascii = a
	}
	ascii = strings.ToLower(ascii)
	if reason := checkLabels(ascii); reason != "" {
		return Domain{}, syntaxError("domain", s, reason)
	}
	return Domain{ascii: ascii}, nil
}

// ASCII returns the canonical A-label form: what is compared, routed and stored.
func (d Domain) ASCII() string { return d.ascii }

// Unicode returns the U-label form for people; it is never used to decide. A name that
// is odd, or that would not read back as itself, is returned as it is.
func (d Domain) Unicode() string {
	if !strings.Contains(d.ascii, aLabelPrefix) {
		return d.ascii
	}
	u, err := registration().ToUnicode(d.ascii)
	if err != nil || d.Oddity() != "" {
		return d.ascii
	}
	if back, err := ParseDomain(u); err != nil || back != d {
		return d.ascii
	}
	return u
}

// Oddity says in words what keeps d from being the name of a host by the rules of
// RFC 1123 §2.1 and RFC 5890 §2.3.1, or "": an underscore, a hyphen at the end of a
// label or in its third and fourth place, an xn-- label that stands for nothing.
func (d Domain) Oddity() string {
	profile := registration()
	for l := range strings.SplitSeq(d.ascii, ".") {
		switch {
		case strings.Contains(l, "_"):
			return "an underscore stands in it"
		case strings.HasPrefix(l, "-") || strings.HasSuffix(l, "-"):
			return "a label begins or ends with a hyphen"
		case strings.HasPrefix(l, aLabelPrefix):
			if !isALabel(l, profile) {
				return "an xn-- label does not decode to letters, marks and digits"
			}
		case len(l) >= 4 && l[2:4] == "--":
			return "a label has hyphens in its third and fourth place"
		}
	}
	return ""
}

// String returns the canonical A-label form.
func (d Domain) String() string { return d.ascii }

// IsZero reports whether d is no domain at all.
func (d Domain) IsZero() bool { return d.ascii == "" }

// MarshalText writes the canonical form; the zero Domain is the empty text.
func (d Domain) MarshalText() ([]byte, error) { return []byte(d.ascii), nil }

// UnmarshalText parses with ParseDomain; the empty text is the zero Domain.
func (d *Domain) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = Domain{}
		return nil
	}
	v, err := ParseDomain(string(b))
	*d = v
	return err
}

const (
	// MaxLabelOctets is the longest label of a name. RFC 1035 §2.3.4.
	MaxLabelOctets = 63
	aLabelPrefix   = "xn--"
)

// tooLong says what of a name in U-labels or A-labels is certainly too long, or "". An
// A-label has at least one octet for each character, behind its prefix.
func tooLong(s string) string {
	octets, label, ascii := 0, 0, true
	for _, c := range s {
		if octets++; octets > MaxDomainOctets {
			return "it is longer than 253 octets"
		}
		if c == '.' {
			label, ascii = 0, true
			continue
		}
		label++
		ascii = ascii && c < utf8.RuneSelf
		if most := MaxLabelOctets - len(aLabelPrefix); label > MaxLabelOctets || !ascii && label > most {
			return "a label is longer than 63 octets"
		}
	}
	return ""
}

// registration is the strictest profile of UTS 46: non-transitional, validating,
// without mapping. RFC 5891 §4.
func registration() *idna.Profile {
	return idna.New(
		idna.ValidateForRegistration(),
		idna.StrictDomainName(true),
		idna.Transitional(false),
	)
}

// lowerKeepingScript lower-cases a rune unless that would turn a compatibility
// character into ASCII (U+212A KELVIN SIGN), which must stay different and be
// refused by the profile.
func lowerKeepingScript(r rune) rune {
	l := unicode.ToLower(r)
	if r >= utf8.RuneSelf && l < utf8.RuneSelf {
		return r
	}
	return l
}

// checkLabels applies what holds for every name in the DNS that mail may come from to a
// lower-case ASCII name, and returns what is wrong in words, or "".
func checkLabels(s string) string {
	if len(s) > MaxDomainOctets {
		return "it is longer than 253 octets"
	}
	last := ""
	for l := range strings.SplitSeq(s, ".") {
		switch {
		case l == "":
			return "a label is empty"
		case len(l) > MaxLabelOctets:
			return "a label is longer than 63 octets"
		case strings.IndexFunc(l, notInLabel) >= 0:
			return "only letters, digits, hyphens and dots may stand in it"
		}
		last = l
	}
	if last[0] >= '0' && last[0] <= '9' {
		return "the last label begins with a digit, as only addresses do"
	}
	return ""
}

func lowerASCII(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// isALabel reports whether an xn-- label decodes to a U-label that encodes to it
// again. RFC 5890 §2.3.2.1.
func isALabel(l string, profile *idna.Profile) bool {
	u, err := profile.ToUnicode(l)
	if err != nil || isASCII(u) || strings.IndexFunc(u, notPValid) >= 0 {
		return false
	}
	back, err := profile.ToASCII(u)
	return err == nil && back == l
}

// notPValid narrows UTS 46 to the letters, marks and digits of RFC 5892 §2: the
// profile lets symbols such as U+2044 FRACTION SLASH pass, which look like the
// punctuation that ends a name.
func notPValid(r rune) bool {
	return r >= utf8.RuneSelf && !unicode.In(r, unicode.L, unicode.M, unicode.Nd)
}

func notInLabel(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
