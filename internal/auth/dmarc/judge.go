package dmarc

import (
	"slices"

	"sallyport/internal/mail"
)

// Verdict is the result of an evaluation. The zero Verdict is none: no policy
// applies.
type Verdict uint8

const (
	None Verdict = iota
	Pass
	Fail
	TempError // the DNS did not answer; another time it may
	PermError // the author cannot be told, or what speaks for him was not looked at
)

// String returns the word of RFC 8601 §2.7 and RFC 9989 §9.
func (v Verdict) String() string {
	switch v {
	case Pass:
		return "pass"
	case Fail:
		return "fail"
	case TempError:
		return "temperror"
	case PermError:
		return "permerror"
	}
	return "none"
}

// Mechanism is what SPF or one DKIM signature said.
type Mechanism struct {
	Domain    mail.Domain // that was authenticated: of the envelope sender, or of d=
	Passed    bool
	Temporary bool // it could not be found out
	Unseen    bool // it was not looked at, for a bound of ours
}

// Existence is whether the author's domain exists. The zero value is not known, and
// asks for no more than an existing one does.
type Existence uint8

const (
	ExistenceUnknown Existence = iota
	Exists
	Absent // the DNS says that there is no such name. RFC 8020
)

// Facts is what a message is judged by.
type Facts struct {
	Author    Walk // of the domain in From
	Existence Existence
	SPF       Mechanism
	DKIM      []Mechanism
	// Organization returns the organizational domain of a domain that SPF or DKIM
	// authenticated; false: it could not be found out. It is asked only where it
	// matters: see NeedsOrganization.
	Organization func(mail.Domain) (mail.Domain, bool)
}

// Result is what an evaluation came to.
type Result struct {
	Verdict      Verdict
	Place        Place       // where the policy stands; zero: nowhere
	Author       mail.Domain // the domain in From
	Organization mail.Domain // of the author
	Policy       Policy      // that the domain asks for, for such an author
	Disposition  Policy      // what is left to be done: PolicyNone unless Verdict is Fail, or may be; one level below Policy where that is a test
	AlignedSPF   bool
	AlignedDKIM  bool
}

// NeedsOrganization reports whether the organizational domain of other decides
// anything: where it is not the author's own, relaxed alignment counts, and the two can
// be of one organization, which that of the author is known for.
func NeedsOrganization(author Walk, other mail.Domain, dkim bool) bool {
	p, ok := author.Policy()
	if !ok || other.IsZero() || other == author.Start() || !author.Done() || !author.MayShare(other) {
		return false
	}
	if dkim {
		return !p.Record.StrictDKIM
	}
	return !p.Record.StrictSPF
}

// Judge evaluates a message whose author's walk is over. RFC 9989 §5.3. Where it cannot be
// found out whether a message fails, and nothing speaks for its author's organization, it is
// kept apart if a policy asks for more: which names of that organization the DNS fails for,
// whoever forges it can find out and use.
func Judge(f Facts) Result {
	r := Result{Author: f.Author.Start(), Disposition: PolicyNone}
	place, ok := f.Author.Policy()
	ok = ok && place.Record.Policy != PolicyAbsent
	if !f.Author.Decided() {
		r.Verdict = TempError
		if f.Author.Start().IsZero() {
			r.Verdict = PermError
		}
		if ok && !f.passes(false, false) {
			r.Disposition = apart(place, f.asked(place))
		}
		return r
	}
	r.Organization = f.Author.Organization()
	if !ok {
		return r
	}
	r.Place, r.Policy = place, f.asked(place)
	var doubt, unseen bool
	r.AlignedSPF, doubt = f.aligned(f.SPF, place.Record.StrictSPF, r.Organization)
	for _, m := range f.DKIM {
		ok, unknown := f.aligned(m, place.Record.StrictDKIM, r.Organization)
		r.AlignedDKIM = r.AlignedDKIM || ok
		doubt = doubt || unknown
		unseen = unseen || f.unseen(m, place.Record.StrictDKIM)
	}
	switch {
	case r.AlignedSPF || r.AlignedDKIM:
		r.Verdict = Pass
	case doubt:
		// RFC 9989 §5.3.2: what may pass another time has not failed.
		r.Verdict = TempError
		if !f.passes(place.Record.StrictSPF, place.Record.StrictDKIM) {
			r.Disposition = apart(place, r.Policy)
		}
	case unseen:
		// What we did not look at has not failed; but who sends more than we look at
		// must not get around a policy by it.
		r.Verdict, r.Disposition = PermError, apart(place, r.Policy)
	default:
		r.Verdict, r.Disposition = Fail, tried(place, r.Policy)
	}
	return r
}

// tried is what is done about a message that fails a policy. Who only tries his policy out (t=y)
// expects the one below it: quarantine for reject, and nothing for quarantine. RFC 9989 §4.7.
func tried(p Place, policy Policy) Policy {
	if p.Record.Testing && policy > PolicyNone {
		return policy - 1
	}
	return policy
}

// apart is what is done about a message that may fail a policy.
func apart(p Place, policy Policy) Policy { return min(tried(p, policy), PolicyQuarantine) }

// asked is the policy that a record has for the author.
func (f Facts) asked(p Place) Policy {
	existence := f.Existence
	if f.Author.Below() {
		existence = Absent // no such name can be in the DNS
	}
	return asked(p, f.Author.Start(), f.Author.Below(), existence)
}

// passes reports whether something passed that may speak for the author, as far as it is
// known who belongs to his organization.
func (f Facts) passes(strictSPF, strictDKIM bool) bool {
	may := func(m Mechanism, strict bool) bool {
		return m.Passed && f.Author.MayShare(m.Domain) && (!strict || m.Domain == f.Author.Start())
	}
	return may(f.SPF, strictSPF) || slices.ContainsFunc(f.DKIM, func(m Mechanism) bool { return may(m, strictDKIM) })
}

// asked is the policy that a record has for an author, or for one below. RFC 9989 §4.7.
func asked(p Place, author mail.Domain, below bool, e Existence) Policy {
	policy := p.Record.Policy
	if p.Domain == author && !below {
		return policy
	}
	if p.Record.Subdomains != PolicyAbsent {
		policy = p.Record.Subdomains
	}
	if e == Absent && p.Record.Missing != PolicyAbsent {
		policy = p.Record.Missing
	}
	return policy
}

// unseen reports whether what was not looked at might have stood for the author. Nobody is
// asked about that: it would be as many questions as a stranger likes.
func (f Facts) unseen(m Mechanism, strict bool) bool {
	if strict {
		return m.Unseen && m.Domain == f.Author.Start()
	}
	return m.Unseen && f.Author.MayShare(m.Domain)
}

// aligned reports whether what was authenticated stands for the author; doubt: it
// could not be found out, and might. RFC 9989 §4.4. There is no doubt about a domain that
// cannot be of the author's organization: else a stranger's own broken DNS would save his
// message from every policy.
func (f Facts) aligned(m Mechanism, strict bool, organization mail.Domain) (ok, doubt bool) {
	if m.Domain.IsZero() || !m.Passed && !m.Temporary {
		return false, false
	}
	same := m.Domain == f.Author.Start() && !(strict && f.Author.Below())
	if !same && !strict && f.Author.MayShare(m.Domain) {
		if f.Organization == nil || !f.Author.Done() {
			return false, true
		}
		org, known := f.Organization(m.Domain)
		if !known {
			return false, true
		}
		same = org == organization
	}
	return same && m.Passed, same && m.Temporary
}
