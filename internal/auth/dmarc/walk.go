package dmarc

import (
	"strings"

	"sallyport/internal/mail"
)

// mostLabels is how many labels the second question of a walk may have, plus one.
// RFC 9989 §4.10: no domain costs more than eight questions.
const mostLabels = 8

// Walk is a tree walk: the questions that lead from a domain up to the root of the
// DNS, and the records that were found on the way. Begin it with NewWalk; ask as
// long as Next says, and Add what the DNS answered. The zero Walk is of no domain.
type Walk struct {
	start mail.Domain
	below bool        // what is asked about is a name below start that no question can hold
	next  mail.Domain // zero: it is over
	found []Place
	gap   mail.Domain // the shortest domain that the DNS did not answer for; zero: none
	lost  bool        // a record that the DNS did not tell may be the one that decides
}

// Place is a domain that has exactly one record.
type Place struct {
	Domain mail.Domain
	Record Record
}

// NewWalk begins at a domain.
func NewWalk(start mail.Domain) Walk { return Walk{start: start, next: start} }

// NewWalkBelow begins at a domain for an author below it whose own name cannot be asked
// for: nothing in the DNS can be his.
func NewWalkBelow(start mail.Domain) Walk { return Walk{start: start, below: true, next: start} }

// Below reports whether the author is below Start, not Start itself.
func (w Walk) Below() bool { return w.below }

// Start returns the domain where the walk began.
func (w Walk) Start() mail.Domain { return w.start }

// Next returns the domain to ask for next: the texts at "_dmarc." and its name.
// false: the walk is over.
func (w Walk) Next() (mail.Domain, bool) { return w.next, !w.next.IsZero() }

// Add continues the walk with the texts at the domain that Next named; none where
// the DNS says that there are none.
func (w Walk) Add(texts []string) Walk {
	at := w.next
	if at.IsZero() {
		return w
	}
	w.found = append([]Place(nil), w.found...)
	w.next = above(at, at == w.start)
	var records []Record
	for _, t := range texts {
		if r, ok := Parse(t); ok {
			records = append(records, r)
		}
	}
	// RFC 9989 §4.10: of several records none counts.
	if len(records) != 1 {
		return w
	}
	w.found = append(w.found, Place{at, records[0]})
	if records[0].PSD != PSDUnknown {
		w.next = mail.Domain{}
	}
	return w
}

// Unanswered continues the walk where the DNS did not answer for the domain that Next
// named. Where the record of the start is known that one decides, whatever stands above it
// (RFC 9989 §4.10.1); else it is not known any more which one does, and the walk goes on to
// see what those above ask for. A top label counts as without a record: nobody's mail goes
// by one, and no organization is as wide.
func (w Walk) Unanswered() Walk {
	at := w.next
	if at.IsZero() {
		return w
	}
	if strings.Contains(at.ASCII(), ".") {
		w.gap, w.lost = at, w.lost || !w.own()
	}
	w.next = above(at, at == w.start)
	return w
}

// own reports whether the author has a record itself.
func (w Walk) own() bool { return !w.below && len(w.found) > 0 && w.found[0].Domain == w.start }

// above is the domain that a walk asks for after d; zero after a top label.
func above(d mail.Domain, first bool) mail.Domain {
	labels := strings.Split(d.ASCII(), ".")
	keep := len(labels) - 1
	if first && len(labels) >= mostLabels {
		keep = mostLabels - 1
	}
	if keep < 1 {
		return mail.Domain{}
	}
	up, err := mail.ParseDomain(strings.Join(labels[len(labels)-keep:], "."))
	if err != nil {
		return mail.Domain{}
	}
	return up
}

// Decided reports whether it is known which record applies, if any.
func (w Walk) Decided() bool { return !w.start.IsZero() && w.next.IsZero() && !w.lost }

// Done reports whether it is known as well which organization the start belongs to.
func (w Walk) Done() bool { return w.Decided() && w.gap.IsZero() }

// MayShare reports whether other can belong to the organization of the start: whoever
// does is below its domain. Where the DNS left that open, the widest counts that it can
// be.
func (w Walk) MayShare(other mail.Domain) bool {
	return within(other, w.Organization()) || !w.gap.IsZero() && within(other, w.gap)
}

// within reports whether d is up or below it.
func within(d, up mail.Domain) bool {
	return !d.IsZero() && !up.IsZero() && (d == up || strings.HasSuffix(d.ASCII(), "."+up.ASCII()))
}

// Organization returns the organizational domain of the domain where the walk
// began. RFC 9989 §4.10.2.
func (w Walk) Organization() mail.Domain {
	for _, p := range w.found { // from the longest to the shortest
		switch {
		case p.Record.PSD == PSDNo:
			return p.Domain
		case p.Record.PSD == PSDYes && p.Domain != w.start:
			return below(w.start, p.Domain)
		}
	}
	if len(w.found) > 0 {
		return w.found[len(w.found)-1].Domain
	}
	return w.start
}

// below is the domain one label under up on the way to d.
func below(d, up mail.Domain) mail.Domain {
	labels := strings.Split(d.ASCII(), ".")
	n := strings.Count(up.ASCII(), ".") + 2
	if n >= len(labels) {
		return d
	}
	one, err := mail.ParseDomain(strings.Join(labels[len(labels)-n:], "."))
	if err != nil {
		return d
	}
	return one
}

// Policy returns the record that applies to mail from the domain where the walk
// began: its own, that of its organizational domain, or that of the public suffix
// above. false: none. RFC 9989 §4.10.1. Of a walk that is not decided it is the one that
// would apply if nobody were asked again.
func (w Walk) Policy() (Place, bool) {
	at := func(d mail.Domain) (Place, bool) {
		for _, p := range w.found {
			if p.Domain == d {
				return p, true
			}
		}
		return Place{}, false
	}
	if p, ok := at(w.start); ok && !w.below {
		return p, true
	}
	if p, ok := at(w.Organization()); ok {
		return p, true
	}
	for _, p := range w.found {
		if p.Record.PSD == PSDYes {
			return p, true
		}
	}
	return Place{}, false
}
