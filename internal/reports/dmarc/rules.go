package dmarc

// The rules that are named here, each with what it means; docs/rules.md has all of them.
const (
	// RuleDMARCReport: a DMARC report leaves in the name of the account for reports.
	RuleDMARCReport = "dmarc-report"
)
