// Package mailboxes is what an operator can do with the mail of accounts: count it, verify it, make
// an index anew, bring mail in from elsewhere and take it out.
package mailboxes
