// Package export writes mailboxes in formats that other programs read: a Maildir++ with the
// keywords and subscriptions of Dovecot beside it, the same as one tar archive, and mbox files.
//
// It promises that nothing that is there is overwritten, that a file has its name only when it is
// whole, and that Commit returns when all is on the disk.
package export
