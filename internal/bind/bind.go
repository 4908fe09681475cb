// Package bind decides whether the header of an account's message tells the truth
// about who wrote it. Whether the account may use its envelope sender is one of the
// gate's facts.
//
// It promises pure functions that refuse whatever they are not sure of: an absent
// owner, a header whose author cannot be told with certainty, a missing author and
// any author, sender or resender that the account does not own. Look-alikes need
// no rule: they are not owned. Where a server is told only to report (Mode), names of
// its own domains pass, and nothing else does.
package bind

import (
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// Owner answers for one account. directory.Snapshot.Owner makes one.
type Owner interface {
	// Owns reports whether the account may send as a.
	Owns(a mail.Address) bool
}

// Authors is what a header says of its authors. Its fields are those of
// message.Authors, so that one converts to the other.
type Authors struct {
	From          []mail.Address
	FromFields    int
	Sender        []mail.Address
	ResentFrom    []mail.Address
	ResentSender  []mail.Address
	Fault         string
	NeedsUTF8     bool
	DisplayClaims []mail.Address
}

// Rule is the name of the rule that made a Verdict, as the trace shows it.
type Rule string

const (
	RuleOwnerUnknown     Rule = "owner-unknown"
	RuleAuthorUnclear    Rule = "author-unclear"
	RuleAuthorNotASCII   Rule = "author-not-ascii"
	RuleAuthorMissing    Rule = "author-missing"
	RuleAuthorTwice      Rule = "author-twice"
	RuleAuthorNotOwned   Rule = "author-not-owned"
	RuleSenderFieldAlien Rule = "sender-field-not-owned"
	RuleResentNotOwned   Rule = "resent-not-owned"
	RuleAuthorOwned      Rule = "author-owned"
	RuleAuthorReported   Rule = "author-reported"
)

// Verdict is a decision, its rule and the reply that tells it. The zero Verdict
// refuses. Notes are findings that refuse nothing but belong into the trace.
type Verdict struct {
	OK    bool
	Rule  Rule
	Reply mail.Reply
	Notes []string
	// NotOwned are the names that the account does not own, each as often as it stands there.
	NotOwned []Use
}

// Header judges the header's authors: exactly one From field, readable with
// certainty, and every address in From, Sender, Resent-From and Resent-Sender
// owned by the account. RFC 5322 §3.6.2 wants exactly one From; RFC 6409 §6.1
// lets a submission server enforce who may stand in it.
func Header(o Owner, a Authors) Verdict {
	if o == nil {
		return refuse(RuleOwnerUnknown, mail.R(550, "5.7.1", "the account is not known"))
	}
	if v, ok := readable(a); !ok {
		return v
	}
	v := accept(RuleAuthorOwned)
	for _, c := range []struct {
		addresses []mail.Address
		rule      Rule
		where     Where
	}{
		{a.From, RuleAuthorNotOwned, InFrom},
		{a.Sender, RuleSenderFieldAlien, InSender},
		{a.ResentFrom, RuleResentNotOwned, InResentFrom},
		{a.ResentSender, RuleResentNotOwned, InResentSender},
	} {
		for _, address := range c.addresses {
			if o.Owns(address) {
				continue
			}
			if v.OK { // the first one is told
				v = refuse(c.rule, mail.R(550, "5.7.1", "this account may not write as "+shown(address)+" in "+c.where.String()+cure(o, a, c.where)))
			}
			v.NotOwned = append(v.NotOwned, Use{c.where, address})
		}
	}
	v.Notes = claims(o, a.DisplayClaims)
	return v
}

// cure says what helps whose program redirects a message of somebody else: it puts a Resent-From of the
// account's own before it and leaves the author as he is. RFC 5322 §3.6.6 has readers told nothing of
// resent fields, so that they see one author who did not send it from here.
func cure(o Owner, a Authors, w Where) string {
	if w != InFrom || len(a.ResentFrom) == 0 || slices.ContainsFunc(append(slices.Clone(a.ResentFrom), a.ResentSender...), func(r mail.Address) bool { return !o.Owns(r) }) {
		return ""
	}
	return "; a message that is resent keeps its author: let the server forward what comes to this account, or send the message as an attachment"
}

// readable judges whether the header names an author at all.
func readable(a Authors) (Verdict, bool) {
	switch {
	case a.Fault != "" && a.NeedsUTF8:
		// RFC 6532 §3: only SMTPUTF8 makes UTF-8 in a header legal. RFC 6531 §3.5
		// gives the code.
		return refuse(RuleAuthorNotASCII, mail.R(550, "5.6.7", "the header's author is not understood: "+a.Fault+"; names may hold any letters, addresses need SMTPUTF8")), false
	case a.Fault != "":
		return refuse(RuleAuthorUnclear, mail.R(550, "5.7.1", "the header's author is not understood: "+a.Fault+remedy(a.Fault))), false
	case a.FromFields > 1:
		return refuse(RuleAuthorTwice, mail.R(550, "5.7.1", "the header has more than one From field")), false
	case a.FromFields < 1 || len(a.From) == 0:
		return refuse(RuleAuthorMissing, mail.R(550, "5.7.1", "the header has no From address")), false
	}
	return Verdict{}, true
}

// remedy says how a field is written that is not understood. Where another line of the header is at fault
// it would mislead: the fault says what is wrong, and where.
func remedy(fault string) string {
	for w := InFrom; w <= InResentSender; w++ {
		if strings.HasPrefix(fault, w.String()+": ") {
			return "; write it as \"Name\" <address>"
		}
	}
	return ""
}

// claims notes the addresses that a display name shows and the account does not
// own: nobody forbids a name, but it is how people are deceived.
func claims(o Owner, shownAddresses []mail.Address) []string {
	var notes []string
	for _, a := range shownAddresses {
		if !o.Owns(a) {
			notes = append(notes, "a display name shows "+shown(a))
		}
	}
	return notes
}

func accept(r Rule) Verdict { return Verdict{OK: true, Rule: r, Reply: mail.R(250, "2.1.0", "ok")} }

func refuse(r Rule, reply mail.Reply) Verdict { return Verdict{Rule: r, Reply: reply} }

// shown quotes an address for a reply; an address is never longer than the cut.
func shown(a mail.Address) string { return mail.Printable(a.String(), mail.MaxPathOctets) }
