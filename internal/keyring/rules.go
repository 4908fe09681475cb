package keyring

// The rules that are named here, each with what it means; docs/rules.md has all of them.
const (
	// RuleDKIMKey: what became of a key that signs.
	RuleDKIMKey = "dkim-key"
	// RuleDKIMKeyLost: a key that signs is missing from the DNS.
	RuleDKIMKeyLost = "dkim-key-lost"
)
