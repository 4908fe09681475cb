// Package mailboxes implements the operator actions on the mail of accounts: count it, verify it,
// rebuild an index, import and export.
package mailboxes
