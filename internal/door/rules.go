package door

// The rules by which nobody is let in, each with what it means; docs/rules.md has all of them.
const (
	// RuleCertificateAwaited: there is no certificate yet.
	RuleCertificateAwaited = "certificate-awaited"
	// RuleConnectionsCrowded: there are as many connections as there may be, of the client's network or of all.
	RuleConnectionsCrowded = "connections-crowded"
	// RuleProxyHeader: a connection of a balancer's does not begin with a proper header of the PROXY protocol.
	RuleProxyHeader = "proxy-header"
)
