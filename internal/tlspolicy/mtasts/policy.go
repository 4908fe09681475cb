package mtasts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
)

const (
	// MaxPolicyOctets bounds a policy. RFC 8461 §3.3 suggests 64 kilobytes.
	MaxPolicyOctets = 64 << 10
	// MaxPatterns bounds the mx lines of one policy.
	MaxPatterns = 100
	// MaxAge is the longest time for which a policy holds. RFC 8461 §3.2.
	MaxAge = 31557600 * time.Second
)

// ErrPolicy says that a text is no valid policy. Its words follow.
var ErrPolicy = errors.New("the MTA-STS policy is not valid")

// Mode says what to do with a host that does not satisfy a policy. The zero Mode is
// none, and no policy has it. RFC 8461 §5.
type Mode uint8

const (
	ModeUnknown Mode = iota
	ModeNone         // the domain has no policy any more
	ModeTesting      // deliver, and report
	ModeEnforce      // do not deliver to that host
)

// String returns the word of the policy.
func (m Mode) String() string {
	switch m {
	case ModeNone:
		return "none"
	case ModeTesting:
		return "testing"
	case ModeEnforce:
		return "enforce"
	}
	return "unknown"
}

// Policy is a parsed policy. The zero Policy is none.
type Policy struct {
	Mode   Mode
	MX     []Pattern // at least one, unless the mode is ModeNone
	MaxAge time.Duration
}

// Pattern is a host name, or with Wildcard any name of one label more. It is in
// lower case, in A-labels. RFC 8461 §4.1.
type Pattern struct {
	Wildcard bool
	Name     dnsx.Name
}

// String returns the pattern as it stands in a policy.
func (p Pattern) String() string {
	if p.Wildcard {
		return "*." + p.Name.String()
	}
	return p.Name.String()
}

// Matches reports whether the pattern is for the host. RFC 8461 §4.1: a wildcard
// stands for exactly one whole label, the leftmost.
func (p Pattern) Matches(host dnsx.Name) bool {
	if host.IsZero() || p.Name.IsZero() {
		return false
	}
	if !p.Wildcard {
		return host == p.Name
	}
	label, rest, found := strings.Cut(host.String(), ".")
	return found && label != "" && rest == p.Name.String()
}

// Allows reports whether the policy names the host.
func (p Policy) Allows(host dnsx.Name) bool {
	for _, m := range p.MX {
		if m.Matches(host) {
			return true
		}
	}
	return false
}

// String writes the policy as ParsePolicy reads it.
func (p Policy) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: STSv1\r\nmode: %s\r\n", p.Mode)
	for _, m := range p.MX {
		fmt.Fprintf(&b, "mx: %s\r\n", m)
	}
	fmt.Fprintf(&b, "max_age: %d\r\n", p.MaxAge/time.Second)
	return b.String()
}

// ParsePolicy reads the text of a policy; what is wrong is an ErrPolicy. RFC 8461
// §3.2: unknown fields are passed over, and of a field given twice, but for mx, the
// first counts.
func ParsePolicy(text []byte) (Policy, error) {
	if len(text) > MaxPolicyOctets {
		return Policy{}, invalid("it is longer than %d octets", MaxPolicyOctets)
	}
	r := policyReader{seen: map[string]bool{}}
	// Many editors leave empty lines behind; they say nothing.
	for line := range strings.SplitSeq(strings.TrimRight(string(text), "\r\n"), "\n") {
		if err := r.line(strings.TrimSuffix(line, "\r")); err != nil {
			return Policy{}, err
		}
	}
	return r.finish()
}

type policyReader struct {
	p    Policy
	seen map[string]bool
}

func (r *policyReader) line(line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !isName(name) {
		return invalid("a line is no field")
	}
	value = trim(value)
	if name != "mx" && r.seen[name] {
		return nil
	}
	r.seen[name] = true
	switch name {
	case "version":
		if value != "STSv1" {
			return invalid("its version is not STSv1")
		}
	case "mode":
		return r.mode(value)
	case "max_age":
		return r.maxAge(value)
	case "mx":
		return r.mx(value)
	default:
		// RFC 8461 §3.2, sts-policy-ext-value: visible text in UTF-8, spaces within.
		if !utf8.ValidString(value) || strings.IndexFunc(value, func(c rune) bool { return c < 0x20 || c == 0x7f }) >= 0 {
			return invalid("a field holds what is no text")
		}
	}
	return nil
}

func (r *policyReader) mode(value string) error {
	for _, m := range []Mode{ModeNone, ModeTesting, ModeEnforce} {
		if value == m.String() {
			r.p.Mode = m
			return nil
		}
	}
	return invalid("its mode is none that there is")
}

// mostAgeDigits is how many digits max_age may have. RFC 8461 §3.2.
const mostAgeDigits = 10

func (r *policyReader) maxAge(value string) error {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || len(value) > mostAgeDigits || value[0] == '+' {
		return invalid("its max_age is no number of seconds")
	}
	r.p.MaxAge = time.Duration(min(n, uint64(MaxAge/time.Second))) * time.Second
	return nil
}

func (r *policyReader) mx(value string) error {
	if len(r.p.MX) == MaxPatterns {
		return invalid("it has more than %d mx fields", MaxPatterns)
	}
	var m Pattern
	rest, wild := strings.CutPrefix(value, "*.")
	d, err := mail.ParseDomain(rest)
	if err != nil {
		return invalid("an mx is no host name: %s", mail.Printable(value, mail.PieceShown))
	}
	m.Wildcard, m.Name = wild, dnsx.NameOf(d)
	r.p.MX = append(r.p.MX, m)
	return nil
}

func (r *policyReader) finish() (Policy, error) {
	for _, name := range []string{"version", "mode", "max_age"} {
		if !r.seen[name] {
			return Policy{}, invalid("it has no %s", name)
		}
	}
	if r.p.Mode != ModeNone && len(r.p.MX) == 0 {
		return Policy{}, invalid("it has no mx")
	}
	return r.p, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrPolicy}, args...)...)
}
