package sender

import (
	"slices"
	"strings"

	"sallyport/internal/auth/dmarc"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// author is whom a header section names as the author's domain.
type author struct {
	domain mail.Domain   // the only one, and exactly that; zero: none, or several
	ours   []mail.Domain // of ours that it names
	fault  string        // why domain is zero
	// judged are the domains that DMARC is asked about: domain, or, where there is not
	// one author, each that a reader may take for it.
	judged []candidate
	unread bool // the author cannot be told: no policy of theirs can speak for the message
	many   bool // there are more than are judged
}

// candidate is a domain that may be the author's.
type candidate struct {
	domain mail.Domain
	below  bool // the author would be below it, under a name that cannot be asked for
	shown  bool // it is not named: some reader may show it
}

func (c candidate) walk() dmarc.Walk {
	if c.below {
		return dmarc.NewWalkBelow(c.domain)
	}
	return dmarc.NewWalk(c.domain)
}

// maxAuthors bounds the domains of one message that DMARC is asked about. Each costs a
// walk through the DNS.
const maxAuthors = 4

// authors collects candidates.
type authors struct {
	ours  func(mail.Domain) bool
	found []candidate
	mine  []mail.Domain
}

func (a *authors) add(c candidate) {
	if c.domain.IsZero() || slices.ContainsFunc(a.found, func(o candidate) bool { return o.domain == c.domain && o.below == c.below }) {
		return
	}
	// Of others, no more are needed than tell that they are too many.
	mine := !c.below && a.ours(c.domain)
	if c.shown && !mine && (len(a.found) > maxAuthors || !strings.Contains(c.domain.ASCII(), ".")) {
		return
	}
	a.found = append(a.found, c)
	if mine {
		a.mine = append(a.mine, c.domain)
	}
}

// authorOf reads the From fields. Several domains are no author that DMARC could judge
// by, so that each of them is asked; what is left of a name that cannot be read is, too,
// and, where a field cannot be read, each name in it: a reader may show it.
func authorOf(h message.Header, ours func(mail.Domain) bool) author {
	from := h.Named("From")
	all := authors{ours: ours}
	exact := true
	for _, c := range from.Claims {
		all.add(candidate{domain: c.Domain, below: c.Below})
		all.add(candidate{domain: c.Shown, shown: true})
		exact = exact && c.Exact
	}
	named := len(all.found)
	out := author{fault: from.Fault}
	switch {
	case out.fault != "":
	case len(from.Claims) == 0:
		out.fault = "the message names no author"
	case !exact:
		out.fault = "the domain of the author is none"
	case from.Fields > 1 && named > 1:
		out.fault = "there are several From fields, of several domains"
	}
	if out.unread = out.fault != ""; out.unread {
		all.show(h, "From")
	}
	if before := len(all.found); out.fault == "" {
		// By the grammar this is not the author, but many a program shows it.
		for _, d := range from.Misread {
			all.add(candidate{domain: d, shown: true})
		}
		if len(all.found) > before {
			out.fault = "programs differ in whom they read as the author"
		}
	}
	if len(all.found) == 0 {
		all.show(h, "Sender") // some readers show it where there is nothing else
	}
	if out.fault == "" && named > 1 {
		out.fault = "the authors are of several domains"
	}
	if out.fault == "" {
		out.domain = all.found[0].domain
	}
	out.ours = all.mine
	out.judged, out.many = all.found[:min(len(all.found), maxAuthors)], len(all.found) > maxAuthors
	return out
}

// rank says how near a domain that signed is to those that may be the author's: 0 is one
// of them.
func (a author) rank(d mail.Domain) int {
	rank := 3
	for _, c := range a.judged {
		switch near, far := "."+d.ASCII(), "."+c.domain.ASCII(); {
		case d.IsZero():
		case near == far:
			return 0
		case strings.HasSuffix(near, far) || strings.HasSuffix(far, near):
			rank = min(rank, 1)
		case lastTwo(near) == lastTwo(far):
			rank = min(rank, 2)
		}
	}
	return rank
}

// lastTwo returns the last two labels of a name that begins with a dot.
func lastTwo(name string) string {
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		return name[strings.LastIndexByte(name[:i], '.'):]
	}
	return name
}

// show adds what some reader may show of the fields of that name.
func (a *authors) show(h message.Header, field string) {
	for _, d := range h.ShownDomains(field) {
		a.add(candidate{domain: d, shown: true})
	}
}

// judge evaluates every candidate's policy; results are in their order. Where there is
// not one author, the strictest policy counts of those that the message fails: else a
// second name would be the way around every policy. RFC 7489 §6.6.1; RFC 9989 leaves it
// to us. shown says that the author of that policy need not be meant.
func (a author) judge(results []dmarc.Result) (worst dmarc.Result, shown bool) {
	if !a.domain.IsZero() {
		return results[0], false
	}
	worst = dmarc.Judge(dmarc.Facts{}) // nobody
	for i, one := range results {
		stricter := one.Disposition > worst.Disposition
		if stricter || shown && one.Disposition == worst.Disposition && !a.judged[i].shown {
			worst, shown = one, a.judged[i].shown
		}
	}
	return worst, shown
}
