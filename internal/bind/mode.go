package bind

import (
	"slices"

	"sallyport/internal/mail"
)

// Mode says what becomes of a name that is not the account's. The zero Mode refuses it.
type Mode uint8

const (
	Enforce Mode = iota // it is refused
	// Report takes it where it is a name of ours, says in the message who sent it, and
	// keeps a finding: for the time in which an administrator finds out who sends as whom.
	Report
)

// String returns the word of the configuration.
func (m Mode) String() string {
	if m == Report {
		return "report"
	}
	return "enforce"
}

// ParseMode reads the word of the configuration.
func ParseMode(text string) (Mode, bool) {
	for _, m := range []Mode{Enforce, Report} {
		if text == m.String() {
			return m, true
		}
	}
	return Enforce, false
}

// Where is the place in a message at which somebody is named. The zero Where is none.
type Where uint8

const (
	Nowhere Where = iota
	InEnvelope
	InFrom
	InSender
	InResentFrom
	InResentSender
)

// String returns the name of the field, or "envelope".
func (w Where) String() string {
	switch w {
	case InEnvelope:
		return "envelope"
	case InFrom:
		return "From"
	case InSender:
		return fieldSender
	case InResentFrom:
		return "Resent-From"
	case InResentSender:
		return fieldResentSender
	}
	return "nowhere"
}

// ParseWhere reads what String writes.
func ParseWhere(text string) (Where, bool) {
	for w := InEnvelope; w <= InResentSender; w++ {
		if text == w.String() {
			return w, true
		}
	}
	return Nowhere, false
}

// Use is one name that an account used and does not own.
type Use struct {
	Where   Where
	Address mail.Address
}

// The fields that say who sent a message which somebody else is said to have written.
// RFC 5322 §3.6.2, §3.6.6.
const (
	fieldSender       = "Sender"
	fieldResentSender = "Resent-Sender"
)

// Reported is the verdict of a server that only reports. It takes a header that Header
// refused for nothing but names of ours that are not the account's; what cannot be read for
// certain, and a name that is not ours, stays refused, since nobody here could ever grant it.
// ours reports whether a domain is ours.
func (v Verdict) Reported(ours func(mail.Domain) bool) Verdict {
	if v.OK || !OnlyOurs(v.NotOwned, ours) {
		return v
	}
	out := accept(RuleAuthorReported)
	out.Notes, out.NotOwned = v.Notes, v.NotOwned
	return out
}

// OnlyOurs reports whether there are names, and each is in a domain of ours.
func OnlyOurs(all []Use, ours func(mail.Domain) bool) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(u Use) bool { return u.Address.Domain().IsZero() || !ours(u.Address.Domain()) })
}

// Missing returns the fields that must name the account, in place of those that the header
// has, so that it says who sent the message: RFC 6409 §8.1 lets a submission server add or
// replace them. None, where nothing was taken that is not the account's.
func (v Verdict) Missing(a Authors) (fields []string) {
	if !v.OK {
		return nil
	}
	uses := func(places ...Where) bool {
		return slices.ContainsFunc(v.NotOwned, func(u Use) bool { return slices.Contains(places, u.Where) })
	}
	if uses(InSender) || uses(InFrom) && len(a.Sender) == 0 {
		fields = append(fields, fieldSender)
	}
	if uses(InResentSender) || uses(InResentFrom) && len(a.ResentSender) == 0 {
		fields = append(fields, fieldResentSender)
	}
	return fields
}
