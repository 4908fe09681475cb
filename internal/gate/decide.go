package gate

import "sallyport/internal/mail"

// Action is what to do with a recipient, or with a sender. The zero Action
// refuses.
type Action uint8

const (
	Refuse      Action = iota
	Defer              // ask the sender to try again later
	AcceptLocal        // go on; a recipient is delivered here
	Relay              // the recipient is not ours; the Verdict carries a Grant
)

// String returns the word of the golden table and the trace.
func (a Action) String() string { return word(int(a), "refuse", "defer", "accept-local", "relay") }

// Verdict is a decision, the rule that made it and the reply that tells it. The
// zero Verdict refuses, but has no reply; Decide and DecideMail never return it.
type Verdict struct {
	Action Action
	Rule   Rule
	Reply  mail.Reply
	grant  Grant
}

// Grant returns the Grant of a Verdict whose Action is Relay, and false for any
// other.
func (v Verdict) Grant() (Grant, bool) {
	return v.grant, v.Action == Relay && !v.grant.IsZero()
}

// Decide judges one recipient. It is total: every value of every field, in range
// or not, gives a Verdict with a rule and a reply. The sender is judged again, so
// that a caller who forgot DecideMail is no less strict.
func Decide(f Facts, s Subject) Verdict {
	if v := DecideMail(f); v.Action != AcceptLocal {
		return v
	}
	if f.Door == DoorNotice {
		return decideContact(f, s)
	}
	switch f.Destination {
	case DestinationMailbox, DestinationPostmaster:
		return decideLocal(f.Door)
	case DestinationAccountsOnly:
		return decideGroup(f.Door, RuleGroupAccounts)
	case DestinationMembersOnly:
		return decideGroup(f.Door, RuleGroupMembers)
	case DestinationNonMember:
		return decideOutsider(f.Door)
	case DestinationForeign:
		return decideForeign(f, s)
	case DestinationForwardReturn:
		return decideReturn(f)
	case DestinationForwardForged:
		return verdictOf(RuleForwardForged)
	case DestinationMarkForged:
		return verdictOf(RuleReturnForged)
	case DestinationUnmarked:
		return decideUnmarked(f)
	case DestinationNoSuchUser:
		return verdictOf(RuleNoSuchUser)
	case DestinationLoop:
		return verdictOf(RuleAliasLoop)
	case DestinationOwnLiteral:
		return verdictOf(RuleOwnLiteral)
	case DestinationUnavailable:
		return verdictOf(RuleDirectoryUnavailable)
	case DestinationContact:
		return verdictOf(RuleFactsContradict) // to everybody else it is a foreign address
	}
	return verdictOf(RuleFactsUnknown)
}

// DecideMail judges the sender, before any recipient is known; f.Destination is
// ignored. AcceptLocal means "go on" and gives no right to relay.
func DecideMail(f Facts) Verdict {
	if !sessionKnown(f) {
		return verdictOf(RuleFactsUnknown)
	}
	switch f.Door {
	case DoorMX:
		return decideMX(f)
	case DoorSubmission:
		return decideSubmission(f)
	case DoorSendmail:
		return decideSendmail(f)
	case DoorForward:
		return decideForward(f)
	case DoorReport:
		return decideReport(f)
	case DoorNotification:
		return decideNotification(f)
	case DoorNotice:
		return decideNotice(f)
	}
	return verdictOf(RuleFactsUnknown)
}

// sessionKnown reports whether every fact but the destination is known.
func sessionKnown(f Facts) bool {
	return f.Door > DoorUnknown && f.Door <= DoorNotice &&
		f.Peer > PeerUnknown && f.Peer <= PeerProvenNetwork &&
		f.Auth > AuthUnknown && f.Auth <= AuthNetworkAccount &&
		f.Standing > StandingUnknown && f.Standing <= StandingRevoked &&
		f.Ownership > OwnershipUnknown && f.Ownership <= OwnershipOurs
}

// decideMX: no authentication and no network matters on port 25.
func decideMX(f Facts) Verdict {
	switch f.Ownership {
	case OwnershipNull, OwnershipForeign:
		return verdictOf(RuleMXSender)
	}
	return verdictOf(RuleMXOwnSender)
}

func decideSubmission(f Facts) Verdict {
	switch f.Auth {
	case AuthPassword, AuthToken, AuthCertificate:
		return decideAccount(f, RuleSubmissionSender)
	case AuthNetworkAccount:
		if f.Peer != PeerProvenNetwork {
			return verdictOf(RuleNetworkUnproven)
		}
		return decideAccount(f, RuleSubmissionSender)
	case AuthNone:
		// RFC 6409 §4.3 leaves networks as an alternative to signing in; here
		// even a proven one signs in as its account.
		return verdictOf(RuleSignInRequired)
	}
	return verdictOf(RuleFactsContradict)
}

func decideSendmail(f Facts) Verdict {
	switch f.Auth {
	case AuthLocalUID:
		return decideAccount(f, RuleSendmailSender)
	case AuthNone:
		return verdictOf(RuleSignInRequired)
	}
	return verdictOf(RuleFactsContradict)
}

// decideForward: nobody signs in to a forward; the standing is that of the
// account which owns it.
func decideForward(f Facts) Verdict {
	if f.Auth != AuthNone {
		return verdictOf(RuleFactsContradict)
	}
	return decideAccount(f, RuleForwardSender)
}

// decideReport: nobody signs in to a report; the standing is that of the account named
// for it. It bears that account's own address, so that whoever gets it can answer, and
// a report that comes back has somebody to come back to.
func decideReport(f Facts) Verdict {
	switch {
	case f.Auth != AuthNone:
		return verdictOf(RuleFactsContradict)
	case f.Ownership == OwnershipNull:
		return verdictOf(RuleReportNull)
	}
	return decideAccount(f, RuleReportSender)
}

func decideNotification(f Facts) Verdict {
	if f.Auth != AuthNone {
		return verdictOf(RuleFactsContradict)
	}
	if f.Ownership != OwnershipNull {
		return verdictOf(RuleNotificationNotNull)
	}
	return verdictOf(RuleNotificationSender)
}

// decideNotice: the server tells the owner of an account what became of it, whatever the
// account's standing: it may be frozen, and that is what the notice is about.
func decideNotice(f Facts) Verdict {
	switch {
	case f.Auth != AuthNone || f.Standing != StandingNone:
		return verdictOf(RuleFactsContradict)
	case f.Ownership != OwnershipNull:
		return verdictOf(RuleNoticeNotNull)
	}
	return verdictOf(RuleNoticeSender)
}

// decideContact is reached only with a sender that DecideMail accepted. Where a notice
// goes the administrator has chosen, and nobody else can.
func decideContact(f Facts, s Subject) Verdict {
	switch {
	case f.Destination == DestinationContact:
		return relay(f, s, RuleNoticeContact)
	case f.Destination > DestinationUnknown && f.Destination < DestinationContact:
		return verdictOf(RuleNoticeElsewhere)
	}
	return verdictOf(RuleFactsUnknown)
}

// decideAccount judges standing and sender of the account that answers for the
// message. The null sender is allowed: read receipts carry it (RFC 8098 §3), and
// the grant and the bound header From still name the account.
func decideAccount(f Facts, accepted Rule) Verdict {
	switch f.Standing {
	case StandingFrozen:
		return verdictOf(RuleAccountFrozen)
	case StandingRevoked:
		if f.Auth == AuthNone { // nobody signed in, so that nothing can have ended
			return verdictOf(RuleFactsContradict)
		}
		return verdictOf(RuleCredentialEnded)
	case StandingActive:
	default:
		return verdictOf(RuleFactsContradict)
	}
	switch f.Ownership {
	case OwnershipOwned, OwnershipNull:
		return verdictOf(accepted)
	}
	return verdictOf(RuleSenderNotOwned)
}

// decideLocal is reached only with a sender that DecideMail accepted.
func decideLocal(d Door) Verdict {
	switch d {
	case DoorMX:
		return verdictOf(RuleMXLocal)
	case DoorSubmission:
		return verdictOf(RuleSubmissionLocal)
	case DoorSendmail:
		return verdictOf(RuleSendmailLocal)
	case DoorForward:
		return verdictOf(RuleForwardLocal)
	case DoorNotification:
		return verdictOf(RuleNotificationLocal)
	case DoorReport:
		return verdictOf(RuleReportLocal)
	}
	return verdictOf(RuleFactsUnknown)
}

// decideGroup is for a group that is not open to the world, and an account, if
// there is one, that may write to it. Who writes on port 25, or through a forward,
// is somebody else than an account of ours.
func decideGroup(d Door, closed Rule) Verdict {
	switch d {
	case DoorSubmission, DoorSendmail, DoorNotification:
		return decideLocal(d)
	}
	return verdictOf(closed)
}

// decideOutsider is for a group that only members may write to, and somebody who
// is none. A notification of our own answers mail that was sent as the group.
func decideOutsider(d Door) Verdict {
	if d == DoorNotification {
		return decideLocal(d)
	}
	return verdictOf(RuleGroupMembers)
}

// decideReturn: a bounce of what a forward sent on comes from outside, and carries
// the null sender (RFC 5321 §4.5.5). Nobody else has anything to say there.
func decideReturn(f Facts) Verdict {
	if f.Door == DoorMX && f.Ownership == OwnershipNull {
		return verdictOf(RuleForwardReturn)
	}
	return verdictOf(RuleForwardReturnNotNull)
}

// decideUnmarked: mail of ours leaves with a signed return path, so that a bounce from
// outside to the bare address answers nothing that was sent from here. Nobody else is
// asked for a signature: a caller who says that of other mail contradicts himself.
func decideUnmarked(f Facts) Verdict {
	if f.Door == DoorMX && f.Ownership == OwnershipNull {
		return verdictOf(RuleBounceUnsigned)
	}
	return verdictOf(RuleFactsContradict)
}

// decideForeign is reached only with a sender that DecideMail accepted.
func decideForeign(f Facts, s Subject) Verdict {
	switch f.Door {
	case DoorMX:
		return verdictOf(RuleRelayDenied)
	case DoorNotification:
		return verdictOf(RuleNotificationForeign)
	case DoorSubmission:
		return relay(f, s, RuleSubmissionRelay)
	case DoorSendmail:
		return relay(f, s, RuleSendmailRelay)
	case DoorForward:
		return relay(f, s, RuleForwardRelay)
	case DoorReport:
		return relay(f, s, RuleReportRelay)
	}
	return verdictOf(RuleFactsUnknown)
}

// relay is the only place where a Grant is born.
func relay(f Facts, s Subject, r Rule) Verdict {
	if s.Transaction.IsZero() || s.Account.IsZero() || s.Recipient.IsZero() || !senderAgrees(f.Ownership, s.Sender) {
		return verdictOf(RuleSubjectIncomplete)
	}
	v := verdictOf(r)
	v.grant = Grant{tx: s.Transaction, account: s.Account, sender: s.Sender, recipients: []mail.Address{s.Recipient}, kind: kindBehind(f.Door)}
	return v
}

// kindBehind says who writes what comes by a door.
func kindBehind(d Door) kind {
	switch d {
	case DoorNotice:
		return kindOfNotice
	case DoorReport:
		return kindOfReport
	}
	return kindOfAccount
}

// senderAgrees reports whether the sender is of the kind that was judged.
func senderAgrees(o Ownership, p mail.ReversePath) bool {
	_, named := p.Address()
	switch o {
	case OwnershipNull:
		return p.IsNull()
	case OwnershipOwned:
		return named && !p.IsNull()
	}
	return false
}
