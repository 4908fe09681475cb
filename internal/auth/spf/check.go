package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Verdict is the result of a check. The zero Verdict is none: nothing is known.
// RFC 7208 §2.6.
type Verdict uint8

const (
	None Verdict = iota
	Neutral
	Pass
	Fail
	SoftFail
	TempError
	PermError
)

// String returns the word of RFC 7208 §2.6 and RFC 8601 §2.7.2.
func (v Verdict) String() string {
	switch v {
	case Neutral:
		return "neutral"
	case Pass:
		return "pass"
	case Fail:
		return "fail"
	case SoftFail:
		return "softfail"
	case TempError:
		return "temperror"
	case PermError:
		return "permerror"
	}
	return "none"
}

// ErrAbsent is what a Resolver answers with when the DNS states that there is no
// such name or no such record; every other error is temporary.
var ErrAbsent = errors.New("spf: there is no such record")

// Resolver answers questions about names, which are given without the last dot and
// may hold any printable character. Answers are at least one, or the error is
// ErrAbsent.
type Resolver interface {
	TXT(ctx context.Context, name string) ([]string, error)
	// Addresses returns the addresses of one family.
	Addresses(ctx context.Context, name string, ip6 bool) ([]netip.Addr, error)
	// MX returns the names of the mail exchangers, the best first.
	MX(ctx context.Context, name string) ([]string, error)
	PTR(ctx context.Context, ip netip.Addr) ([]string, error)
}

// Limits bounds what one check may cost.
type Limits struct {
	Terms     int // that ask the DNS. RFC 7208 §4.6.4: 10
	Void      int // questions without an answer. RFC 7208 §4.6.4: 2
	Names     int // of one mx or ptr. RFC 7208 §4.6.4: 10
	Explained int // octets of an explanation
	Written   int // terms that one record has, whatever they ask
}

// DefaultLimits returns the bounds of the RFC.
func DefaultLimits() Limits {
	return Limits{Terms: 10, Void: 2, Names: 10, Explained: 512, Written: 1000}
}

// Query is what is to be checked.
type Query struct {
	IP       netip.Addr // of the client
	Hello    string     // its name in EHLO or HELO
	Local    string     // local-part of the sender; "": postmaster. RFC 7208 §4.3
	Domain   string     // of the sender, or the client's name where the path is null. RFC 7208 §2.4
	Receiver string     // our name, for explanations
	Now      time.Time  // for explanations
}

func (q *Query) local() string {
	if q.Local == "" {
		return "postmaster" // RFC 7208 §4.3
	}
	return q.Local
}

// Result is what a check came to.
type Result struct {
	Verdict     Verdict
	Domain      string // whose record was decisive
	Mechanism   string // the term that matched, as it stands; "" for none
	Explanation string // of the domain, for Fail: printable ASCII, theirs and not to be trusted
	Err         error  // for None, TempError and PermError: why
}

// Check checks one client and sender. RFC 7208 §4.
func Check(ctx context.Context, r Resolver, q Query, l Limits) Result {
	q.IP = q.IP.Unmap().WithZone("")
	e := &evaluation{ctx: ctx, r: r, q: &q, limits: l}
	domain := strings.TrimSuffix(q.Domain, ".")
	// RFC 7208 §4.3: what is no name with several labels has no record.
	if !q.IP.IsValid() || !isName(domain) || !strings.Contains(domain, ".") {
		return Result{Domain: domain, Err: fmt.Errorf("spf: %q is no domain that has a record", domain)}
	}
	return e.domain(domain, true)
}

// isName reports whether a name can be asked for: labels of 1 to 63 characters.
func isName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel {
			return false
		}
	}
	return true
}

// evaluation is one check under way, with what it has cost.
type evaluation struct {
	ctx    context.Context
	r      Resolver
	q      *Query
	limits Limits
	terms  int
	void   int

	claimed bool     // names were asked for
	good    []string // the client's validated names
}

// errLimit is a check that asks too much. RFC 7208 §4.6.4.
var errLimit = errors.New("spf: the record asks too many questions")

// failed is a result that is an error.
func failed(domain string, err error) Result {
	v := TempError
	if errors.Is(err, errSyntax) || errors.Is(err, errLimit) {
		v = PermError
	}
	return Result{Verdict: v, Domain: domain, Err: err}
}

// domain evaluates the record of one domain; explain says whether its explanation
// counts.
func (e *evaluation) domain(domain string, explain bool) Result {
	text, err := e.find(domain)
	if err != nil {
		if errors.Is(err, ErrAbsent) {
			return Result{Domain: domain, Err: err}
		}
		return failed(domain, err)
	}
	rec, err := parseRecord(text, e.limits.Written)
	if err != nil {
		return failed(domain, err)
	}
	v := values{q: e.q, domain: domain, validated: func() string { return e.validated(domain) }}
	for _, m := range rec.mechanisms {
		matched, err := e.match(m, v)
		if err != nil {
			return failed(domain, err)
		}
		if matched {
			out := Result{Verdict: m.qualifier, Domain: domain, Mechanism: m.text}
			if explain && out.Verdict == Fail {
				out.Explanation = e.explanation(rec, v)
			}
			return out
		}
	}
	if rec.redirect == nil {
		return Result{Verdict: Neutral, Domain: domain} // RFC 7208 §4.7
	}
	return e.redirect(rec, v, explain)
}

// redirect goes on with another domain's record. RFC 7208 §6.1.
func (e *evaluation) redirect(rec record, v values, explain bool) Result {
	if err := e.spend(); err != nil {
		return failed(v.domain, err)
	}
	to := v.host(rec.redirect)
	if !isName(to) {
		return failed(v.domain, bad("redirect leads to %q", to))
	}
	out := e.domain(to, explain)
	if out.Verdict == None {
		return failed(v.domain, bad("redirect leads to %s, which has no record", to))
	}
	return out
}

// find returns the one SPF record of a domain. RFC 7208 §4.4, §4.5.
func (e *evaluation) find(domain string) (string, error) {
	texts, err := e.r.TXT(e.ctx, domain)
	if err != nil {
		return "", err
	}
	var found []string
	for _, t := range texts {
		if isRecord(t) {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 0:
		return "", fmt.Errorf("%w: %s has no SPF record", ErrAbsent, domain)
	case len(found) > 1:
		return "", bad("%s has %d records", domain, len(found))
	}
	// RFC 7208 §3.1: records are US-ASCII.
	if strings.IndexFunc(found[0], func(c rune) bool { return c < 0x20 || c > 0x7e }) >= 0 {
		return "", bad("the record of %s is not plain ASCII", domain)
	}
	return found[0], nil
}

// spend counts one term that asks the DNS.
func (e *evaluation) spend() error {
	e.terms++
	if e.terms > e.limits.Terms {
		return errLimit
	}
	return nil
}

// empty counts a question without an answer. RFC 7208 §4.6.4.
func (e *evaluation) empty() error {
	e.void++
	if e.void > e.limits.Void {
		return fmt.Errorf("%w: too many of them have no answer", errLimit)
	}
	return nil
}

func (e *evaluation) match(m mechanism, v values) (bool, error) {
	switch m.kind {
	case kindAll:
		return true, nil
	case kindIP4, kindIP6:
		return m.network.Contains(e.q.IP), nil
	}
	if err := e.spend(); err != nil {
		return false, err
	}
	target := v.host(m.target)
	if m.kind == kindInclude {
		return e.include(target, v)
	}
	if !isName(target) {
		// RFC 7208 §4.3, §4.8: no such name can exist.
		return false, nil
	}
	switch m.kind {
	case kindA:
		return e.hosts(m, []string{target}, true)
	case kindMX:
		return e.exchangers(m, target)
	case kindPTR:
		return e.reverse(target)
	case kindExists:
		// RFC 7208 §5.7: IPv4, whatever the client speaks.
		found, err := e.addresses(target, false, true)
		return len(found) > 0, err
	}
	return false, bad("the mechanism %q cannot be evaluated", m.text)
}

// include evaluates another domain's record. RFC 7208 §5.2.
func (e *evaluation) include(target string, v values) (bool, error) {
	if !isName(target) {
		return false, bad("include leads to %q", target)
	}
	r := e.domain(target, false)
	switch r.Verdict {
	case Pass:
		return true, nil
	case None:
		return false, bad("include leads to %s, which has no record", target)
	case TempError, PermError:
		return false, r.Err
	}
	return false, nil
}

// addresses asks for the addresses of a host; none is no error, but may count.
func (e *evaluation) addresses(name string, ip6, counts bool) ([]netip.Addr, error) {
	found, err := e.r.Addresses(e.ctx, name, ip6)
	if errors.Is(err, ErrAbsent) {
		if counts {
			return nil, e.empty()
		}
		return nil, nil
	}
	return found, err
}

// hosts reports whether the client is, within the bits given, one of the hosts.
func (e *evaluation) hosts(m mechanism, names []string, counts bool) (bool, error) {
	ip6, n := e.q.IP.Is6(), m.bits4
	if ip6 {
		n = m.bits6
	}
	for _, name := range names {
		found, err := e.addresses(name, ip6, counts)
		if err != nil {
			return false, err
		}
		for _, ip := range found {
			if netip.PrefixFrom(ip.Unmap(), n).Masked().Contains(e.q.IP) {
				return true, nil
			}
		}
	}
	return false, nil
}

func (e *evaluation) exchangers(m mechanism, target string) (bool, error) {
	names, err := e.r.MX(e.ctx, target)
	switch {
	case errors.Is(err, ErrAbsent):
		return false, e.empty()
	case err != nil:
		return false, err
	case len(names) > e.limits.Names:
		return false, fmt.Errorf("%w: %s has more than %d mail exchangers", errLimit, target, e.limits.Names)
	}
	return e.hosts(m, slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !isName(n) }), false)
}

// reverse reports whether a validated name of the client is in the target.
// RFC 7208 §5.5. A failure of the DNS is no match there.
func (e *evaluation) reverse(target string) (bool, error) {
	names, err := e.names(true)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(names, func(n string) bool { return within(n, target) }), nil
}

func within(name, domain string) bool {
	name, domain = strings.ToLower(name), strings.ToLower(domain)
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// names are the client's validated names, those whose addresses lead back. They are
// asked for once, however many terms and macros want them.
func (e *evaluation) names(counts bool) ([]string, error) {
	if e.claimed {
		return e.good, nil
	}
	e.claimed = true
	all, err := e.r.PTR(e.ctx, e.q.IP)
	switch {
	case errors.Is(err, ErrAbsent) && counts:
		return nil, e.empty()
	case err != nil:
		// RFC 7208 §5.5: without an answer, the mechanism does not match.
		return nil, nil
	}
	for _, n := range all[:min(len(all), e.limits.Names)] {
		if !isName(n) {
			continue
		}
		found, err := e.r.Addresses(e.ctx, n, e.q.IP.Is6())
		if err == nil && slices.Contains(found, e.q.IP) {
			e.good = append(e.good, n)
		}
	}
	return e.good, nil
}

// validated is the %{p}: a validated name, the domain's own if there is one.
// RFC 7208 §7.3.
func (e *evaluation) validated(domain string) string {
	names, err := e.names(false)
	if err != nil || len(names) == 0 {
		return "unknown"
	}
	for _, fits := range []func(string) bool{
		func(n string) bool { return strings.EqualFold(n, domain) },
		func(n string) bool { return within(n, domain) },
	} {
		if i := slices.IndexFunc(names, fits); i >= 0 {
			return names[i]
		}
	}
	return names[0]
}

// explanation fetches what the domain says about a failure; "" when it says nothing
// that can be shown. RFC 7208 §6.2.
func (e *evaluation) explanation(rec record, v values) string {
	if rec.explain == nil {
		return ""
	}
	from := v.host(rec.explain)
	if !isName(from) {
		return ""
	}
	texts, err := e.r.TXT(e.ctx, from)
	if err != nil || len(texts) != 1 {
		return ""
	}
	var words []string
	for word := range strings.SplitSeq(texts[0], " ") {
		pieces, err := parseMacros(word)
		if err != nil {
			return ""
		}
		v.explaining = true
		words = append(words, v.expand(pieces))
	}
	text := strings.Join(words, " ")
	if strings.IndexFunc(text, func(c rune) bool { return c < 0x20 || c > 0x7e }) >= 0 {
		return ""
	}
	return text[:min(len(text), e.limits.Explained)]
}
