// Package moving moves mailboxes between Debian's Dovecot and the real server: in by IMAP with the
// importer killed again and again, out as Maildir++, mbox and tar, and back, and onto a file system
// that is full or read-only. Other programs judge what came. Nothing of the server is linked into
// it.
package moving
