package spf

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// errSyntax is wrapped by every fault of a record. RFC 7208 §4.6.
var errSyntax = errors.New("spf: bad record")

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errSyntax, fmt.Sprintf(format, args...))
}

// kind is a mechanism. RFC 7208 §5.
type kind uint8

const (
	kindAll kind = iota + 1
	kindInclude
	kindA
	kindMX
	kindPTR
	kindIP4
	kindIP6
	kindExists
)

// mechanism is one directive of a record.
type mechanism struct {
	text      string // as it stands in the record, for evidence
	qualifier Verdict
	kind      kind
	target    domainSpec // zero: the domain that is checked
	network   netip.Prefix
	bits4     int // of the address, for a and mx
	bits6     int
}

// record is a parsed SPF record.
type record struct {
	mechanisms []mechanism
	redirect   domainSpec
	explain    domainSpec
}

// isRecord reports whether a text is an SPF record of version 1: the version is
// followed by a space or nothing. RFC 7208 §4.5.
func isRecord(text string) bool {
	const version = "v=spf1"
	return len(text) >= len(version) && strings.EqualFold(text[:len(version)], version) &&
		(len(text) == len(version) || text[len(version)] == ' ')
}

// parseRecord reads a record whole, so that a fault behind the term that decides is
// a fault too. RFC 7208 §4.6. So is a record of more terms than most: they would cost
// more to read than to judge.
func parseRecord(text string, most int) (record, error) {
	var r record
	seen := map[string]bool{}
	terms := 0
	for term := range strings.SplitSeq(text[len("v=spf1"):], " ") {
		if term == "" {
			continue
		}
		if terms++; terms > most {
			return record{}, bad("it has more than %d terms", most)
		}
		name, value, ok := cutModifier(term)
		if !ok {
			m, err := parseMechanism(term)
			if err != nil {
				return record{}, err
			}
			r.mechanisms = append(r.mechanisms, m)
			continue
		}
		// RFC 7208 §6: redirect and exp may stand once; others mean nothing to us.
		name = strings.ToLower(name)
		if (name == "redirect" || name == "exp") && seen[name] {
			return record{}, bad("%s stands twice", name)
		}
		seen[name] = true
		if err := r.modify(name, value); err != nil {
			return record{}, err
		}
	}
	return r, nil
}

func (r *record) modify(name, value string) (err error) {
	switch name {
	case "redirect":
		r.redirect, err = parseDomainSpec(value)
	case "exp":
		r.explain, err = parseDomainSpec(value)
	default:
		_, err = parseMacros(value)
	}
	return err
}

// cutModifier parts name=value. A name begins with a letter. RFC 7208 §12.
func cutModifier(term string) (name, value string, ok bool) {
	i := strings.IndexFunc(term, func(c rune) bool { return !isNameChar(c) })
	if i < 1 || term[i] != '=' || !isAlpha(rune(term[0])) {
		return "", "", false
	}
	return term[:i], term[i+1:], true
}

func isAlpha(c rune) bool    { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c rune) bool    { return c >= '0' && c <= '9' }
func isNameChar(c rune) bool { return isAlpha(c) || isDigit(c) || c == '-' || c == '_' || c == '.' }

func parseMechanism(term string) (mechanism, error) {
	m := mechanism{text: term, qualifier: Pass, bits4: bitsV4, bits6: bitsV6}
	rest := term
	switch term[0] {
	case '+':
		rest = term[1:]
	case '-':
		m.qualifier, rest = Fail, term[1:]
	case '~':
		m.qualifier, rest = SoftFail, term[1:]
	case '?':
		m.qualifier, rest = Neutral, term[1:]
	}
	i := strings.IndexAny(rest, ":/")
	if i < 0 {
		i = len(rest)
	}
	name, arg := strings.ToLower(rest[:i]), rest[i:]
	return m, m.read(name, arg)
}

// read reads what follows a mechanism's name.
func (m *mechanism) read(name, arg string) (err error) {
	value, hasValue := strings.CutPrefix(arg, ":")
	need := func() error {
		if !hasValue || value == "" {
			return bad("%s needs a value", name)
		}
		return nil
	}
	switch name {
	case "all":
		m.kind = kindAll
		if arg != "" {
			return bad("all takes nothing")
		}
		return nil
	case "include", "exists":
		m.kind = kindInclude
		if name == "exists" {
			m.kind = kindExists
		}
		if err := need(); err != nil {
			return err
		}
		m.target, err = parseDomainSpec(value)
		return err
	case "a", "mx":
		m.kind = kindA
		if name == "mx" {
			m.kind = kindMX
		}
		return m.readHosts(arg)
	case "ptr":
		m.kind = kindPTR
		if arg == "" {
			return nil
		}
		if err := need(); err != nil {
			return err
		}
		m.target, err = parseDomainSpec(value)
		return err
	case "ip4", "ip6":
		if err := need(); err != nil {
			return err
		}
		return m.readNetwork(name, value)
	}
	return bad("the mechanism %q is unknown", name)
}

// readHosts reads [":" domain-spec] [dual-cidr-length]. RFC 7208 §5.3.
func (m *mechanism) readHosts(arg string) error {
	rest, err := m.readBits(arg)
	if err != nil || rest == "" {
		return err
	}
	value, ok := strings.CutPrefix(rest, ":")
	if !ok || value == "" {
		return bad("%q is no domain and no prefix length", rest)
	}
	m.target, err = parseDomainSpec(value)
	return err
}

// The bits of addresses: the longest prefixes. RFC 7208 §5.6.
const (
	bitsV4 = 32
	bitsV6 = 128
)

// readBits takes the prefix lengths off the end: "/24", "//64", "/24//64". A slash
// may also stand within a domain-spec, so that only what is a whole length counts.
func (m *mechanism) readBits(arg string) (rest string, err error) {
	rest = arg
	if i := strings.LastIndex(rest, "//"); i >= 0 && digits(rest[i+2:]) {
		if m.bits6, err = bits(rest[i+2:], bitsV6); err != nil {
			return "", err
		}
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '/'); i >= 0 && digits(rest[i+1:]) {
		if m.bits4, err = bits(rest[i+1:], bitsV4); err != nil {
			return "", err
		}
		rest = rest[:i]
	}
	return rest, nil
}

func digits(s string) bool {
	return s != "" && strings.IndexFunc(s, func(c rune) bool { return !isDigit(c) }) < 0
}

// bits reads a prefix length, which has no leading zero. RFC 7208 §12.
func bits(s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most || len(s) > 1 && s[0] == '0' || !digits(s) {
		return 0, bad("%q is no prefix length", s)
	}
	return n, nil
}

func (m *mechanism) readNetwork(name, value string) error {
	text, length, hasLength := strings.Cut(value, "/")
	m.kind = kindIP4
	most := 32
	if name == "ip6" {
		m.kind, most = kindIP6, 128
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || ip.Is4() != (name == "ip4") {
		return bad("%q is no address for %s", text, name)
	}
	n := most
	if hasLength {
		if n, err = bits(length, most); err != nil {
			return err
		}
	}
	// Is4In6 addresses stay what they are: a network of IPv6.
	m.network = netip.PrefixFrom(ip, n).Masked()
	return nil
}
