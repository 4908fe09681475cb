// Package mbox reads and writes mbox files: one file a mailbox, each message behind a line that
// begins with "From ".
//
// It reads all forms that are about. A message ends where its Content-Length says, if that leads
// to the next "From " line or the end (mboxcl, mboxcl2); else before an empty line that such a
// line with a date follows (mboxo, mboxrd). What programs note of a message in its header (Status,
// X-Status, X-Keywords, Content-Length and those of Mozilla and UW IMAP) becomes flags and is no
// part of the message; a "From " line within a message loses the > by which it was quoted.
//
// Its work is linear in the file whatever is in it, and one message is held at a time.
package mbox
