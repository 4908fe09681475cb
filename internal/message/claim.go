package message

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	"sallyport/internal/mail"
)

// Claim is what a mailbox's domain comes to for those who judge by it.
type Claim struct {
	// Domain is what was read; zero where nothing of it can be a domain.
	Domain mail.Domain
	// Exact says that the domain is Domain as it was written.
	Exact bool
	// Below says that labels which no domain has were stripped: what is meant, if
	// anything is, is below Domain.
	Below bool
	// Shown is another domain, which a program may show that decodes the name with
	// less care than the DNS; zero: there is none.
	Shown mail.Domain
}

const (
	// maxClaimed is how many labels at the end of a domain are kept for judging where not
	// all of it can be read: what is below that many makes no difference to the tree
	// walk of RFC 9989 §4.10.
	maxClaimed = 7
	// maxLabels is how many are looked at for those.
	maxLabels = 32
)

// claimOf reads a domain as a stranger wrote it. One dot at its end changes nothing: it
// says that the name is whole. Of anything else that is no domain, characters that
// programs map to others or do not show are mapped or left out, then labels that are
// none: what is left is what a reader may hold it for.
func claimOf(text string) Claim {
	if d, err := mail.ParseDomain(strings.TrimSuffix(text, ".")); err == nil {
		return Claim{Domain: d, Exact: true, Shown: decoded(d)}
	}
	if strings.HasPrefix(text, "[") {
		return Claim{}
	}
	var c Claim
	looked := 0
	for rest, label := lastLabel(visible(text)); label != ""; rest, label = lastLabel(rest) {
		if looked == maxLabels || strings.Count(c.Domain.ASCII(), ".") == maxClaimed-1 {
			c.Below = true
			break
		}
		looked++
		if d, ok := prepend(label, c.Domain); ok {
			c.Domain = d
		} else {
			c.Below = true
		}
	}
	return c
}

// lastLabel parts the last label of a name from what stands before it; of dots in a row
// and at the end nothing is kept. No list of the labels is made: a stranger may write a
// megabyte of them. There is no label where it is empty.
func lastLabel(name string) (rest, label string) {
	name = strings.TrimRight(name, ".")
	dot := strings.LastIndexByte(name, '.')
	return name[:max(dot, 0)], name[dot+1:]
}

// prepend puts a label before a domain, unless it is none or makes it too long.
func prepend(label string, d mail.Domain) (mail.Domain, bool) {
	if len(label) > 4*mail.MaxDomainOctets {
		return d, false
	}
	if !d.IsZero() {
		label += "." + d.ASCII()
	}
	longer, err := mail.ParseDomain(label)
	return longer, err == nil
}

// visible is mapped, without controls and white space, of which programs strip what
// stands at either end of a name.
func visible(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.IsSpace(c) {
			return -1
		}
		return c
	}, mapped(s))
}

// decoded returns the domain that d is shown as by a program that decodes xn-- labels
// which stand for no name: such a label can be made to read like one in ASCII.
func decoded(d mail.Domain) mail.Domain {
	if !strings.Contains(d.ASCII(), "xn--") {
		return mail.Domain{}
	}
	labels := strings.Split(d.ASCII(), ".")
	for i, l := range labels {
		if rest, ok := strings.CutPrefix(l, "xn--"); ok && strings.HasSuffix(rest, "-") {
			labels[i] = rest[:len(rest)-1] // RFC 3492 §3.1: nothing but ASCII is in it
		} else if u, err := idna.Punycode.ToUnicode(l); err == nil {
			labels[i] = mapped(u)
		}
	}
	other, err := mail.ParseDomain(strings.Join(labels, "."))
	if err != nil || other == d {
		return mail.Domain{}
	}
	return other
}
