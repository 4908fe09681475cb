package dispatch

// The rules that are named here, each with what it means; docs/rules.md has all of them.
const (
	// RuleDispatchHold: it may not leave: the account, its Grant or its queue says no.
	RuleDispatchHold = "dispatch-hold"
	// RuleNotifyVerifiedSender: the sender is known to be the account's own, so it is told.
	RuleNotifyVerifiedSender = "notify-verified-sender"
)
