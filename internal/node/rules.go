package node

// The rules that are named here, each with what it means; docs/rules.md has all of them.
const (
	// RuleReloadRefused: the former one stays in force.
	RuleReloadRefused = "reload-refused"
	// RuleReloaded: a new configuration is in force.
	RuleReloaded = "reloaded"
	// RuleServer: the server began or ended.
	RuleServer = "server"
)
