package access

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"sallyport/internal/mail"
)

const (
	// MaxRules is how many lines a list may have that say something.
	MaxRules = 100_000
	// MaxLine is how long one may be, in octets.
	MaxLine = 1000
	// MaxReason is how much of a reason is told to a client, in characters.
	MaxReason = 200
)

// ErrList is wrapped by every error of Parse.
var ErrList = errors.New("this list cannot be read")

// Fault is one line that cannot be read.
type Fault struct {
	Line int
	Text string
}

// Faults are the lines that cannot be read, the first few of them. It wraps ErrList.
type Faults []Fault

// Error returns each fault in a line of its own.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = fmt.Sprintf("line %d: %s", f.Line, f.Text)
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes errors.Is find ErrList.
func (Faults) Unwrap() error { return ErrList }

// mostFaults is how many lines are told of at once.
const mostFaults = 10

// List is an immutable list. The zero List has no line.
type List struct {
	rules []Rule
	// networks leads from a network of one length to the first line about it, so that a
	// list of very many costs a few look-ups.
	networks map[netip.Prefix]int
	lengths  []netip.Prefix // one of each family and length, as the key's form
	others   []int          // lines about anything else, in order
}

// Rules returns the lines in order. The caller must not change them.
func (l List) Rules() []Rule { return l.rules }

// Asks reports whether any line is about a field, so that what it needs is looked up for
// nobody else.
func (l List) Asks(f Field) bool {
	return slices.ContainsFunc(l.others, func(i int) bool { return l.rules[i].Field == f })
}

// ExemptsBefore reports whether any line about a field exempts that stands before another one; before the zero
// Rule: any at all.
func (l List) ExemptsBefore(f Field, r Rule) bool {
	return slices.ContainsFunc(l.others, func(i int) bool {
		o := l.rules[i]
		return o.Field == f && o.Action == Exempt && (r.Line == 0 || o.Line < r.Line)
	})
}

// Match returns the first line that fits.
func (l List) Match(v Visitor) (Rule, bool) {
	first := len(l.rules)
	if ip := v.Client.Unmap().WithZone(""); ip.IsValid() {
		for _, length := range l.lengths {
			if length.Addr().Is4() != ip.Is4() {
				continue
			}
			if p, err := ip.Prefix(length.Bits()); err == nil {
				if i, ok := l.networks[p]; ok {
					first = min(first, i)
				}
			}
		}
	}
	for _, i := range l.others {
		if i >= first {
			break
		}
		if l.rules[i].fits(v) {
			first = i
			break
		}
	}
	if first == len(l.rules) {
		return Rule{}, false
	}
	return l.rules[first], true
}

// Parse reads a list: one rule a line, "#" begins a comment. Its error is a Faults, unless
// reading fails.
func Parse(r io.Reader) (List, error) {
	l := List{networks: map[netip.Prefix]int{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, MaxLine+1), MaxLine+1)
	var faults Faults
	number := 0
	for len(faults) < mostFaults && lines.Scan() {
		number++
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		rule, err := parseRule(text)
		switch {
		case err != nil:
			faults = append(faults, Fault{number, err.Error()})
			continue
		case len(l.rules) == MaxRules:
			return List{}, Faults{{number, fmt.Sprintf("there are more than %d rules", MaxRules)}}
		}
		rule.Line = number
		l.add(rule)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		faults = append(faults, Fault{number + 1, fmt.Sprintf("it is longer than %d octets", MaxLine)})
	case err != nil:
		return List{}, err
	}
	if len(faults) > 0 {
		return List{}, faults
	}
	return l, nil
}

func (l *List) add(r Rule) {
	i := len(l.rules)
	l.rules = append(l.rules, r)
	if r.Field != Network {
		l.others = append(l.others, i)
		return
	}
	if _, twice := l.networks[r.network]; !twice {
		l.networks[r.network] = i
	}
	same := func(p netip.Prefix) bool {
		return p.Bits() == r.network.Bits() && p.Addr().Is4() == r.network.Addr().Is4()
	}
	if !slices.ContainsFunc(l.lengths, same) {
		l.lengths = append(l.lengths, r.network)
	}
}

const form = `write it as "refuse network 192.0.2.0/24 why it is kept out"`

// parseRule reads "ACTION FIELD WHAT [REASON]".
func parseRule(text string) (Rule, error) {
	words := strings.Fields(text)
	if len(words) < 3 {
		return Rule{}, errors.New("it lacks a word; " + form)
	}
	r := Rule{Text: words[2], Reason: strings.Join(words[3:], " ")}
	for _, a := range []Action{Refuse, Defer, Slow, Exempt} {
		if a.String() == words[0] {
			r.Action = a
		}
	}
	for _, f := range []Field{Network, System, Country, Name, Hello, Sender, Recipient} {
		if f.String() == words[1] {
			r.Field = f
		}
	}
	switch {
	case r.Action == NoAction:
		return Rule{}, fmt.Errorf("%s is nothing that is done; it is refuse, defer, slow or exempt",
			mail.Printable(words[0], mail.WordShown))
	case r.Field == NoField:
		return Rule{}, fmt.Errorf("%s is nothing that is looked at; it is network, as, country, name, hello, sender or recipient",
			mail.Printable(words[1], mail.WordShown))
	case len(r.Reason) > MaxReason || !mail.IsPlain(r.Reason):
		return Rule{}, fmt.Errorf("its reason is not printable ASCII of at most %d characters, as a reply must be", MaxReason)
	}
	if err := r.parseText(); err != nil {
		return Rule{}, fmt.Errorf("%s %s: %w", r.Field, mail.Printable(r.Text, mail.ValueShown), err)
	}
	if claimed := r.Field == Hello || r.Field == Sender; claimed && r.Action == Exempt {
		return Rule{}, fmt.Errorf("a %s is anybody's claim and exempts nobody; exempt a network, or a name", r.Field)
	}
	return r, nil
}

func (r *Rule) parseText() (err error) {
	switch {
	case r.Field == Network:
		r.network, err = parseNetwork(r.Text)
	case r.Field == System:
		ok := false
		if r.system, ok = ParseAS(r.Text); !ok {
			err = errors.New(`this is no autonomous system; write it as "AS64500"`)
		}
	case r.Field == Country:
		if r.Text = strings.ToUpper(r.Text); !IsCountry(r.Text) {
			err = errors.New(`this is no country; write its two letters, as "DE"`)
		}
	case r.Field == Sender && r.Text == "<>":
		r.null = true
	case r.Field != Name && r.Field != Hello && strings.Contains(r.Text, "@"):
		r.address, err = mail.ParseAddress(r.Text, mail.UTF8)
	case r.Field == Hello && strings.HasPrefix(r.Text, "["):
		r.pattern.name = strings.ToLower(r.Text) // a literal, as the greeting has it
	default:
		r.pattern, err = parsePattern(r.Text)
	}
	return err
}

// parseNetwork reads a network, or one address.
func parseNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || p.Addr().Is4In6():
		return netip.Prefix{}, errors.New(`this is no network; write it as "192.0.2.0/24" or "2001:db8::/32"`)
	case p != p.Masked():
		return netip.Prefix{}, errors.New("it has bits behind its prefix; the network is " + p.Masked().String())
	}
	return p, nil
}
