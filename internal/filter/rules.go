package filter

// The rules that are named here, each with what it means; docs/rules.md has all of them.
const (
	// RuleBounceForged: it returns a message that was never sent from here.
	RuleBounceForged = "bounce-forged"
	// RuleBounceNotLookedUp: whether that was sent from here could not be looked up.
	RuleBounceNotLookedUp = "bounce-not-looked-up"
	// RuleBounceUnreadable: what it returns could not be read for a reason of ours.
	RuleBounceUnreadable = "bounce-unreadable"
	// RuleBounceWithoutOrigin: it returns a message and does not say which, so that it cannot be
	// told whether that was sent from here.
	RuleBounceWithoutOrigin = "bounce-without-origin"
	// RuleMilterDiscard: a milter would drop it; nothing is dropped here.
	RuleMilterDiscard = "milter-discard"
	// RuleMilterQuarantine: a milter wants it kept.
	RuleMilterQuarantine = "milter-quarantine"
	// RuleMilterReject: a milter refuses it.
	RuleMilterReject = "milter-reject"
	// RuleMilterTempfail: a milter puts it off.
	RuleMilterTempfail = "milter-tempfail"
	// RuleRspamdDiscard: rspamd would drop it; nothing is dropped here.
	RuleRspamdDiscard = "rspamd-discard"
	// RuleRspamdReject: rspamd refuses it.
	RuleRspamdReject = "rspamd-reject"
	// RuleRspamdSoftReject: rspamd puts it off.
	RuleRspamdSoftReject = "rspamd-soft-reject"
	// RuleRspamdSpam: rspamd calls it spam.
	RuleRspamdSpam = "rspamd-spam"
)
