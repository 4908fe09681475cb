package sender

// The rules that are named here, each with what it means; docs/rules.md has all of them.
const (
	// RuleDKIMSigningFailed: it could not be signed although it must be.
	RuleDKIMSigningFailed = "dkim-signing-failed"
)
