package datafolder

// The rules that are named here, each with what it means; docs/rules.md has all of them.
const (
	// RuleRecovery: what the queue held when it was opened.
	RuleRecovery = "recovery"
)
