package tls

// The rules that are named here, each with what it means; docs/rules.md has all of them.
const (
	// RuleTLSReport: a report on TLS leaves in the name of the account for reports.
	RuleTLSReport = "tls-report"
)
