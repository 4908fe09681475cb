package gate

import "sallyport/internal/mail"

// Rule is the name of the rule that made a Verdict, as the trace shows it. The
// zero Rule names none and stands only in the zero Verdict.
type Rule string

const (
	RuleFactsUnknown    Rule = "facts-unknown"
	RuleFactsContradict Rule = "facts-contradict"

	RuleMXSender    Rule = "mx-sender"
	RuleMXOwnSender Rule = "mx-own-sender"
	RuleMXLocal     Rule = "mx-local"
	RuleRelayDenied Rule = "relay-denied"

	RuleSignInRequired   Rule = "sign-in-required"
	RuleNetworkUnproven  Rule = "network-unproven"
	RuleAccountFrozen    Rule = "account-frozen"
	RuleCredentialEnded  Rule = "credential-ended"
	RuleSenderNotOwned   Rule = "sender-not-owned"
	RuleSubmissionSender Rule = "submission-sender"
	RuleSubmissionLocal  Rule = "submission-local"
	RuleSubmissionRelay  Rule = "submission-relay"

	RuleSendmailSender Rule = "sendmail-sender"
	RuleSendmailLocal  Rule = "sendmail-local"
	RuleSendmailRelay  Rule = "sendmail-relay"

	RuleForwardSender Rule = "forward-sender"
	RuleForwardLocal  Rule = "forward-local"
	RuleForwardRelay  Rule = "forward-relay"

	RuleForwardReturn        Rule = "forward-return"
	RuleForwardReturnNotNull Rule = "forward-return-not-null"
	RuleForwardForged        Rule = "forward-return-forged"

	RuleReturnForged   Rule = "return-path-forged"
	RuleBounceUnsigned Rule = "bounce-unsigned"

	RuleReportSender Rule = "report-sender"
	RuleReportNull   Rule = "report-null"
	RuleReportLocal  Rule = "report-local"
	RuleReportRelay  Rule = "report-relay"

	RuleNotificationSender  Rule = "notification-sender"
	RuleNotificationNotNull Rule = "notification-not-null"
	RuleNotificationLocal   Rule = "notification-local"
	RuleNotificationForeign Rule = "notification-foreign"

	RuleNoticeSender    Rule = "notice-sender"
	RuleNoticeNotNull   Rule = "notice-not-null"
	RuleNoticeContact   Rule = "notice-contact"
	RuleNoticeElsewhere Rule = "notice-elsewhere"

	RuleSubjectIncomplete    Rule = "subject-incomplete"
	RuleNoSuchUser           Rule = "no-such-user"
	RuleAliasLoop            Rule = "alias-loop"
	RuleGroupAccounts        Rule = "group-accounts"
	RuleGroupMembers         Rule = "group-members"
	RuleOwnLiteral           Rule = "own-literal"
	RuleDirectoryUnavailable Rule = "directory-unavailable"
)

// RuleInfo is a rule in words, with what it does. A rule always does the same.
type RuleInfo struct {
	Rule   Rule
	Action Action
	Reply  mail.Reply
	Words  string
}

// Rules returns every rule that a Verdict can name, for the documentation and for
// check. The caller owns the slice.
func Rules() []RuleInfo { return append([]RuleInfo(nil), ruleTable[:]...) }

// verdictOf makes the Verdict of a rule; a rule that the table does not know
// gives the zero Verdict, which refuses.
func verdictOf(r Rule) Verdict {
	for i := range ruleTable {
		if ruleTable[i].Rule == r {
			return Verdict{Action: ruleTable[i].Action, Rule: r, Reply: ruleTable[i].Reply}
		}
	}
	return Verdict{}
}

// ruleTable is constant. The enhanced codes are those of RFC 3463 and of the
// registry of RFC 5248 (5.7.13 is an account that was disabled).
var ruleTable = [...]RuleInfo{
	{RuleMXLocal, AcceptLocal, mail.R(250, "2.1.5", "recipient ok"),
		"Anybody may write to our own recipients on port 25."},
	{RuleMXSender, AcceptLocal, mail.R(250, "2.1.0", "sender ok"),
		"On port 25 any foreign sender, or the null sender, may begin a transaction."},
	{RuleRelayDenied, Refuse, mail.R(550, "5.7.1", "relaying denied: this domain is not ours"),
		"Mail that comes through port 25 never leaves, whoever sends it and from wherever."},
	{RuleSubmissionSender, AcceptLocal, mail.R(250, "2.1.0", "sender ok"),
		"A signed-in account in good standing may use its own sender addresses and the null sender."},
	{RuleSubmissionRelay, Relay, mail.R(250, "2.1.5", "recipient ok"),
		"A signed-in account in good standing, using a sender of its own, may write to the world."},
	{RuleSubmissionLocal, AcceptLocal, mail.R(250, "2.1.5", "recipient ok"),
		"A signed-in account in good standing, using a sender of its own, may write to our own recipients."},
	{RuleNoSuchUser, Refuse, mail.R(550, "5.1.1", "no such user here"),
		"An address of our domains without a mailbox is refused while the sender is still there to be told."},
	{RuleMXOwnSender, Refuse, mail.R(550, "5.7.1", "sign in on the submission port to send as an address of this domain"),
		"On port 25 nobody can use an address of ours as envelope sender."},
	{RuleSignInRequired, Refuse, mail.R(530, "5.7.0", "authentication required"),
		"Nothing can be submitted without signing in."}, // RFC 4954 §6
	{RuleSenderNotOwned, Refuse, mail.R(553, "5.7.1", "this account may not use that sender address"),
		"An account can only use sender addresses that it owns."},
	{RuleAccountFrozen, Refuse, mail.R(550, "5.7.13", "sending is suspended for this account; contact the postmaster"),
		"A frozen account cannot send, to anybody, by any way."},
	{RuleCredentialEnded, Refuse, mail.R(530, "5.7.0", "what this session signed in with was revoked, changed or has ended; sign in again"),
		"A session lives no longer than what it signed in with, though the account be in good standing."}, // RFC 4954 §6
	{RuleNetworkUnproven, Refuse, mail.R(550, "5.7.1", "this network is not proven; sign in to send"),
		"The account of a network counts only while evidence stands that the peer is in that network."},
	{RuleDirectoryUnavailable, Defer, mail.R(451, "4.3.0", "the directory cannot tell now; try again later"),
		"When the directory cannot tell, the sender is asked to try again; nothing is guessed."},
	{RuleAliasLoop, Refuse, mail.R(550, "5.4.6", "this alias loops or names too many recipients"),
		"An alias that leads back to itself, or grows beyond its bound, delivers nothing."},
	{RuleGroupAccounts, Refuse, mail.R(550, "5.7.2", "only signed-in users of this server may write to this address"),
		"An address that is for our own people takes nothing from the world."}, // RFC 3463 §3.8
	{RuleGroupMembers, Refuse, mail.R(550, "5.7.2", "only members may write to this group"),
		"A group that is for its members takes nothing from anybody else."}, // RFC 3463 §3.8
	{RuleOwnLiteral, Refuse, mail.R(550, "5.1.1", "no such user here"),
		"Our own address literal reaches the postmaster and nobody else."},
	{RuleSendmailSender, AcceptLocal, mail.R(250, "2.1.0", "sender ok"),
		"A local user whose account is in good standing may use the account's own sender addresses and the null sender."},
	{RuleSendmailLocal, AcceptLocal, mail.R(250, "2.1.5", "recipient ok"),
		"A local user whose account is in good standing may write to our own recipients."},
	{RuleSendmailRelay, Relay, mail.R(250, "2.1.5", "recipient ok"),
		"A local user whose account is in good standing may write to the world."},
	{RuleForwardSender, AcceptLocal, mail.R(250, "2.1.0", "sender ok"),
		"A forward may go on when an account in good standing owns both it and its envelope sender."},
	{RuleForwardLocal, AcceptLocal, mail.R(250, "2.1.5", "recipient ok"),
		"A forward may lead to our own recipients."},
	{RuleForwardRelay, Relay, mail.R(250, "2.1.5", "recipient ok"),
		"A forward of an account in good standing may leave, on that account's grant."},
	{RuleForwardReturn, AcceptLocal, mail.R(250, "2.1.5", "recipient ok"),
		"A bounce to the return path of a forward goes to the mailbox of the account that owns the forward, and never any further."},
	{RuleForwardReturnNotNull, Refuse, mail.R(550, "5.7.1", "this address takes bounces only"),
		"The return path of a forward takes nothing but the null sender, on port 25."},
	{RuleForwardForged, Refuse, mail.R(550, "5.7.1", "this return path is forged or too old"),
		"A return path of a forward that we did not make, or made too long ago, reaches nobody."},
	{RuleReturnForged, Refuse, mail.R(550, "5.7.1", "this return path is forged or too old"),
		"What has the form of a signed return path, and was not signed here or has ended, reaches nobody."},
	{RuleBounceUnsigned, Refuse, mail.R(550, "5.7.1", "this is no answer to mail from here: what we send carries a signed return path"),
		"Where signed return paths are required, a bounce from outside to a bare address is refused."},
	{RuleReportSender, AcceptLocal, mail.R(250, "2.1.0", "sender ok"),
		"A report of our own bears an address of the account that the administrator named for reports, while that is in good standing."},
	{RuleReportNull, Refuse, mail.R(550, "5.7.1", "a report carries the address of its account"),
		"A report of our own never carries the null sender."},
	{RuleReportLocal, AcceptLocal, mail.R(250, "2.1.5", "recipient ok"),
		"A report of our own may go to our own recipients."},
	{RuleReportRelay, Relay, mail.R(250, "2.1.5", "recipient ok"),
		"A report of our own may leave, on the grant of the account that the administrator named for reports."},
	{RuleNotificationSender, AcceptLocal, mail.R(250, "2.1.0", "sender ok"),
		"A notification of our own carries the null sender."}, // RFC 5321 §4.5.5
	{RuleNotificationNotNull, Refuse, mail.R(550, "5.7.1", "a notification carries the null sender only"),
		"A notification of our own that carries any other sender is refused, so that it can never be answered by one."},
	{RuleNotificationLocal, AcceptLocal, mail.R(250, "2.1.5", "recipient ok"),
		"A notification of our own goes to our own people."},
	{RuleNotificationForeign, Refuse, mail.R(550, "5.7.1", "a notification goes to our own people only"),
		"A notification of our own never leaves: no bounce can reach an innocent."},
	{RuleNoticeSender, AcceptLocal, mail.R(250, "2.1.0", "sender ok"),
		"A notice of our own to the owner of an account carries the null sender."}, // RFC 5321 §4.5.5
	{RuleNoticeNotNull, Refuse, mail.R(550, "5.7.1", "a notice carries the null sender only"),
		"A notice of our own to the owner of an account that carries any other sender is refused."},
	{RuleNoticeContact, Relay, mail.R(250, "2.1.5", "recipient ok"),
		"A notice of our own may leave for the one address outside that an administrator named for the owner of the account that it is about."},
	{RuleNoticeElsewhere, Refuse, mail.R(550, "5.7.1", "a notice goes to the contact of its account only"),
		"A notice of our own to the owner of an account goes nowhere but to the address outside that an administrator named."},
	{RuleSubjectIncomplete, Refuse, mail.R(550, "5.7.1", "relaying denied"),
		"A relay whose transaction, account, sender or recipient is not named, or contradicts the facts, is refused."},
	{RuleFactsContradict, Refuse, mail.R(550, "5.7.1", "relaying denied"),
		"Facts that cannot hold together (an authentication that this door does not have, an account without sign-in) refuse."},
	{RuleFactsUnknown, Refuse, mail.R(550, "5.7.1", "relaying denied"),
		"Whatever is not known refuses."},
}
