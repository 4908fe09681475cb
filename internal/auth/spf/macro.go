package spf

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// piece is a part of a macro-string: literal text, or a macro. RFC 7208 §7.1.
type piece struct {
	literal    string
	letter     byte // 0: literal
	escape     bool // the letter was a capital: URL-escape
	keep       int  // labels kept from the right; 0: all
	reverse    bool
	delimiters string
}

// domainSpec is a macro-string that ends like a domain; zero for none.
type domainSpec []piece

// isMacroLiteral is %x21-24 / %x26-7E.
func isMacroLiteral(c byte) bool { return c >= 0x21 && c <= 0x7e && c != '%' }

// maxMacros bounds the macros of one text, each of which may stand for 254 octets: a name
// has 253 in all.
const maxMacros = 100

// parseMacros reads a macro-string.
func parseMacros(s string) ([]piece, error) {
	var out []piece
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			out = append(out, piece{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(s); {
		if s[i] != '%' {
			if !isMacroLiteral(s[i]) {
				return nil, bad("the character %q must not stand here", s[i])
			}
			literal.WriteByte(s[i])
			i++
			continue
		}
		if i+1 >= len(s) {
			return nil, bad("a percent sign ends %q", s)
		}
		switch s[i+1] {
		case '%':
			literal.WriteByte('%')
			i += 2
		case '_':
			literal.WriteByte(' ')
			i += 2
		case '-':
			literal.WriteString("%20")
			i += 2
		case '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return nil, bad("a macro does not end in %q", s)
			}
			flush()
			if len(out) >= 2*maxMacros { // each with a literal between them
				return nil, bad("it has more than %d macros", maxMacros)
			}
			p, err := parseMacro(s[i+2 : i+end])
			if err != nil {
				return nil, err
			}
			out = append(out, p)
			i += end + 1
		default:
			return nil, bad("a stray percent sign in %q", s)
		}
	}
	flush()
	return out, nil
}

// parseMacro reads what stands between the braces.
func parseMacro(s string) (piece, error) {
	if s == "" || !strings.ContainsRune("slodiphcrtv", rune(s[0]|0x20)) || !isAlpha(rune(s[0])) {
		return piece{}, bad("the macro %q is unknown", s)
	}
	p := piece{letter: s[0] | 0x20, escape: s[0] < 'a', delimiters: "."}
	rest := s[1:]
	n := strings.IndexFunc(rest, func(c rune) bool { return !isDigit(c) })
	if n < 0 {
		n = len(rest)
	}
	if n > 0 {
		keep, err := strconv.Atoi(rest[:n])
		// RFC 7208 §7.1: zero labels are none; more than a name has are all of them.
		if strings.Trim(rest[:n], "0") == "" {
			return piece{}, bad("the macro %q keeps no label", s)
		}
		if err != nil || keep > mostLabels {
			keep = mostLabels
		}
		p.keep, rest = keep, rest[n:]
	}
	if rest != "" && rest[0]|0x20 == 'r' {
		p.reverse, rest = true, rest[1:]
	}
	if strings.Trim(rest, ".-+,/_=") != "" {
		return piece{}, bad("the macro %q has a strange delimiter", s)
	}
	if rest != "" {
		p.delimiters = rest
	}
	return p, nil
}

// parseDomainSpec reads a macro-string that ends with a top label or a macro.
// RFC 7208 §7.1.
func parseDomainSpec(s string) (domainSpec, error) {
	pieces, err := parseMacros(s)
	if err != nil {
		return nil, err
	}
	if len(pieces) == 0 {
		return nil, bad("a domain is missing")
	}
	for _, p := range pieces {
		if strings.IndexByte("crt", p.letter) >= 0 && p.letter != 0 {
			return nil, bad("the macro %c may stand in explanations only", p.letter)
		}
	}
	last := pieces[len(pieces)-1]
	if last.letter != 0 {
		return pieces, nil
	}
	text := strings.TrimSuffix(last.literal, ".")
	i := strings.LastIndexByte(text, '.')
	if i < 0 || !isTopLabel(text[i+1:]) {
		return nil, bad("%q does not end like a domain", s)
	}
	return pieces, nil
}

// isTopLabel: letters, digits and inner hyphens, and not digits alone.
func isTopLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' || digits(s) {
		return false
	}
	return strings.IndexFunc(s, func(c rune) bool { return !isAlpha(c) && !isDigit(c) && c != '-' }) < 0
}

// values are what macros stand for in one evaluation.
type values struct {
	q         *Query
	domain    string        // that is being evaluated
	validated func() string // the %{p}
	// explaining: the macros of explanations may stand for something.
	explaining bool
}

func (v values) of(letter byte) string {
	switch letter {
	case 's':
		return v.q.local() + "@" + v.q.Domain
	case 'l':
		return v.q.local()
	case 'o':
		return v.q.Domain
	case 'd':
		return v.domain
	case 'i':
		return dotted(v.q.IP)
	case 'p':
		return v.validated()
	case 'h':
		return v.q.Hello
	case 'v':
		if v.q.IP.Is4() {
			return "in-addr"
		}
		return "ip6"
	}
	if !v.explaining {
		return ""
	}
	switch letter {
	case 'c':
		return v.q.IP.String()
	case 'r':
		return v.q.Receiver
	case 't':
		return strconv.FormatInt(v.q.Now.Unix(), 10)
	}
	return ""
}

// dotted is the address for %{i}: an IPv6 address in nibbles. RFC 7208 §7.3.
func dotted(ip netip.Addr) string {
	if ip.Is4() {
		return ip.String()
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i, octet := range ip.As16() {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteByte(hex[octet>>4])
		b.WriteByte('.')
		b.WriteByte(hex[octet&15])
	}
	return b.String()
}

// expand returns the text that a macro-string stands for.
func (v values) expand(pieces []piece) string {
	var b strings.Builder
	for _, p := range pieces {
		if p.letter == 0 {
			b.WriteString(p.literal)
			continue
		}
		parts := split(v.of(p.letter), p.delimiters)
		if p.reverse {
			slices.Reverse(parts)
		}
		if p.keep > 0 && p.keep < len(parts) {
			parts = parts[len(parts)-p.keep:]
		}
		text := strings.Join(parts, ".")
		if p.escape {
			text = escape(text)
		}
		b.WriteString(text)
	}
	return b.String()
}

// split parts s at each of the delimiters. RFC 7208 §7.3: what stands between two of
// them is a part, also when it is nothing.
func split(s, delimiters string) []string {
	var parts []string
	for {
		i := strings.IndexAny(s, delimiters)
		if i < 0 {
			return append(parts, s)
		}
		parts, s = append(parts, s[:i]), s[i+1:]
	}
}

// escape percent-encodes everything that is not unreserved. RFC 3986 §2.3.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := rune(s[i])
		if isAlpha(c) || isDigit(c) || strings.ContainsRune("-._~", c) {
			b.WriteByte(s[i])
			continue
		}
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

// host returns the domain that a domain-spec stands for, cut on the left to what
// fits into a name. RFC 7208 §7.3.
func (v values) host(d domainSpec) string {
	if len(d) == 0 {
		return v.domain
	}
	name := strings.TrimSuffix(v.expand(d), ".")
	for len(name) > maxName {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return ""
		}
		name = rest
	}
	return name
}

// maxLabel is the longest label of a name. RFC 1035 §2.3.4.
const maxLabel = 63

// mostLabels is more labels than any name has: a macro that keeps more keeps all. RFC 7208 §7.3.
const mostLabels = 128

// maxName is the longest name, in characters. RFC 7208 §7.3.
const maxName = 253
