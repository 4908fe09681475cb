package mail

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// MaxPathOctets is the longest path accepted, with its angle brackets.
	// RFC 5321 §4.5.3.1.3.
	MaxPathOctets = 256
	// MaxAddressOctets is what that leaves for an address, as String writes it. A
	// local-part has no bound of its own: forwarders and mailing lists write whole
	// addresses into the local-parts of their senders.
	MaxAddressOctets = MaxPathOctets - 2
	// SureLocalPartOctets is the longest local-part that every server has to take: what
	// we invent ourselves stays within it. RFC 5321 §4.5.3.1.1.
	SureLocalPartOctets = 64
)

// Address is a mailbox: an opaque local-part and either a domain or an address
// literal. Nothing inside the local-part ever routes. Addresses are comparable
// with ==, which compares the local-part exactly; Key compares as mailboxes do.
type Address struct {
	local   string // without quotes and quoted-pairs
	domain  Domain
	literal netip.Addr
}

// Charset says whether an address may hold UTF-8. The zero value is ASCII only.
type Charset uint8

const (
	// ASCII admits what RFC 5321 admits.
	ASCII Charset = iota
	// UTF8 also admits the non-ASCII characters of RFC 6531 §3.3.
	UTF8
)

// ParseAddress parses a mailbox without angle brackets: local-part "@" domain or
// literal, in the grammar of RFC 5321 §4.1.2, except that a local-part may have dots
// anywhere without being quoted, as those of some carriers have; String quotes it. Comments,
// white space, source routes and general address literals are refused.
func ParseAddress(s string, cs Charset) (Address, error) {
	if len(s) > MaxAddressOctets {
		return Address{}, syntaxError("address", s, tooLongAddress)
	}
	if cs != UTF8 && !isASCII(s) {
		return Address{}, syntaxError("address", s, "it is not ASCII and SMTPUTF8 was not asked for")
	}
	if !utf8.ValidString(s) {
		return Address{}, syntaxError("address", s, "it is not UTF-8")
	}
	local, rest, reason := cutLocalPart(s)
	if reason != "" {
		return Address{}, syntaxError("address", s, reason)
	}
	a := Address{local: local}
	if strings.HasPrefix(rest, "[") {
		ip, reason := parseLiteral(rest)
		if reason != "" {
			return Address{}, syntaxError("address", s, reason)
		}
		a.literal = ip
	} else {
		d, err := ParseDomain(rest)
		if err != nil {
			return Address{}, err
		}
		a.domain = d
	}
	return a.fitting()
}

const tooLongAddress = "it is longer than 254 octets"

// fitting returns a, unless no path has room for it as it is written.
func (a Address) fitting() (Address, error) {
	if a.Octets() > MaxAddressOctets {
		return Address{}, syntaxError("address", a.String(), tooLongAddress)
	}
	return a, nil
}

// NewAddress joins a local-part, given without quoting, and a domain.
func NewAddress(local string, d Domain) (Address, error) {
	if d.IsZero() {
		return Address{}, syntaxError("address", local, "it has no domain")
	}
	return Address{domain: d}.WithLocal(local)
}

// Local returns the local-part without quoting.
func (a Address) Local() string { return a.local }

// Domain returns the domain; it is zero for an address literal.
func (a Address) Domain() Domain { return a.domain }

// Literal returns the address literal, if the address has one.
func (a Address) Literal() (netip.Addr, bool) { return a.literal, a.literal.IsValid() }

// IsZero reports whether a is no address at all.
func (a Address) IsZero() bool { return a == Address{} }

// IsASCII reports whether a can be sent without SMTPUTF8.
func (a Address) IsASCII() bool { return isASCII(a.local) }

// WithLocal returns a with another local-part, given without quoting.
func (a Address) WithLocal(local string) (Address, error) {
	if reason := checkLocal(local); reason != "" {
		return Address{}, syntaxError("local-part", local, reason)
	}
	a.local = local
	return a.fitting()
}

// Key returns the form in which mailboxes are compared: the local-part in NFC
// and lower case. Two addresses with one Key are one mailbox here. It is only
// meaningful for our own domains; other hosts' local-parts are theirs to read.
func (a Address) Key() string {
	if a.IsZero() {
		return ""
	}
	return FoldLocal(a.local) + "@" + a.host()
}

// FoldLocal is the folding of a local-part that Key uses.
func FoldLocal(local string) string {
	if isASCII(local) {
		return strings.ToLower(local)
	}
	return norm.NFC.String(strings.ToLower(norm.NFC.String(local)))
}

// String returns the address as it stands in a path, quoted where it must be.
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	return QuoteLocal(a.local) + "@" + a.host()
}

// Octets returns how long the address is as it stands in a path.
func (a Address) Octets() int {
	if a.IsZero() {
		return 0
	}
	return len(QuoteLocal(a.local)) + len("@") + len(a.host())
}

// MarshalText writes the form that ParseAddress reads back.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText parses with ParseAddress; the empty text is the zero Address.
func (a *Address) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*a = Address{}
		return nil
	}
	v, err := ParseAddress(string(b), UTF8)
	*a = v
	return err
}

func (a Address) host() string {
	if a.literal.IsValid() {
		return FormatLiteral(a.literal)
	}
	return a.domain.ascii
}

// FormatLiteral writes ip as an address literal. RFC 5321 §4.1.3.
func FormatLiteral(ip netip.Addr) string {
	if ip.Is4() {
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + ip.String() + "]"
}

// ParseLiteral reads an address literal with its brackets. RFC 5321 §4.1.3.
func ParseLiteral(s string) (netip.Addr, error) {
	ip, reason := parseLiteral(s)
	if reason != "" {
		return netip.Addr{}, syntaxError("address literal", s, reason)
	}
	return ip, nil
}

func parseLiteral(s string) (netip.Addr, string) {
	inner, ok := strings.CutPrefix(s, "[")
	if !ok {
		return netip.Addr{}, "the literal has no opening bracket"
	}
	inner, ok = strings.CutSuffix(inner, "]")
	if !ok {
		return netip.Addr{}, "the literal has no closing bracket"
	}
	v6 := len(inner) >= 5 && strings.EqualFold(inner[:5], "IPv6:")
	if v6 {
		inner = inner[5:]
	}
	ip, err := netip.ParseAddr(inner)
	if err != nil || ip.Zone() != "" || ip.Is4() == v6 {
		return netip.Addr{}, "the literal is no IPv4 or IPv6: address"
	}
	return ip.Unmap(), ""
}

// cutLocalPart splits off the local-part, unquoted, and returns what follows the
// "@", or what is wrong in words.
func cutLocalPart(s string) (local, rest, reason string) {
	if s == "" {
		return "", "", "it is empty"
	}
	raw := 0
	if s[0] == '"' {
		local, raw, reason = cutQuoted(s)
		if reason != "" {
			return "", "", reason
		}
	} else {
		raw = strings.IndexByte(s, '@')
		if raw < 0 {
			return "", "", "it has no @"
		}
		local = s[:raw]
		if strings.IndexFunc(local, notDottedAtext) >= 0 {
			return "", "", "its local-part holds what must be quoted"
		}
	}
	if raw >= len(s) || s[raw] != '@' {
		return "", "", "no @ follows the local-part"
	}
	if reason := checkLocal(local); reason != "" {
		return "", "", reason
	}
	return local, s[raw+1:], ""
}

// cutQuoted reads a Quoted-string at the start of s and returns its content and
// its length with quotes. RFC 5321 §4.1.2.
func cutQuoted(s string) (content string, n int, reason string) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), i + 1, ""
		case c == '\\':
			i++
			if i >= len(s) || s[i] < 0x20 || s[i] > 0x7e {
				return "", 0, "a quoted-pair in its local-part is broken"
			}
			b.WriteByte(s[i])
		case c < 0x20 || c == 0x7f:
			return "", 0, "its local-part holds a control character"
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, "its quoted local-part does not end"
}

// checkLocal applies what holds for every local-part, quoted or not.
func checkLocal(local string) string {
	if local == "" {
		return "its local-part is empty"
	}
	for _, r := range local {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return "its local-part holds a control character"
		}
		// Line and paragraph separators end lines for some readers; format
		// characters (bidirectional overrides, zero-width joiners) make two
		// mailboxes look alike.
		if unicode.In(r, unicode.Zl, unicode.Zp, unicode.Cf) {
			return "its local-part holds an invisible character"
		}
	}
	return ""
}

// notDottedAtext tells what may not stand in a local-part without quotes, wherever its
// dots are. Nothing that ends, quotes or routes an address is let pass.
func notDottedAtext(r rune) bool {
	return r < utf8.RuneSelf && r != '.' && !isAtext(byte(r))
}

// isDotString reports whether s is a Dot-string of RFC 5321 §4.1.2, with the
// UTF-8 extension of RFC 6531 §3.3.
func isDotString(s string) bool {
	atom := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.':
			if atom == 0 {
				return false
			}
			atom = 0
		case isAtext(c) || c >= utf8.RuneSelf:
			atom++
		default:
			return false
		}
	}
	return atom > 0
}

func isAtext(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// QuoteLocal writes a local-part as addresses have it: quoted where it is no Dot-string.
// RFC 5321 §4.1.2
func QuoteLocal(local string) string {
	if isDotString(local) {
		return local
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(local); i++ {
		if local[i] == '"' || local[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(local[i])
	}
	b.WriteByte('"')
	return b.String()
}
