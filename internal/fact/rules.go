package fact

// The rules that are named here, each with what it means; docs/rules.md has all of them.
const (
	// RuleConnectionEnded: a connection ended.
	RuleConnectionEnded = "connection-ended"
	// RuleDeferred: the answer put it off.
	RuleDeferred = "deferred"
	// RuleDelivered: the answer took the message.
	RuleDelivered = "delivered"
	// RuleFailed: the answer refused it for good.
	RuleFailed = "failed"
	// RuleOperator: an operator did it.
	RuleOperator = "operator"
)
