// Package access is the hub for reading mail: it alone decides who may open a mailbox, by IMAP or
// by POP3.
//
// It stands between the doors (imap, imaps, pop3, pop3s) and the engines that speak with mail
// programs. It admits connections, puts TLS on them, has people sign in at the same desk as those
// who send (package signin), to read, and gives an engine nothing but the mailboxes of whoever
// did. It promises that
//
//   - nobody signs in without TLS, and nobody but the account's own people sees a mailbox;
//   - a session ends as soon as what it was opened with counts for nothing any more, also while it
//     idles;
//   - every sign-in and every end of a connection is a fact with door, address and program;
//   - a ticket of TLS resumes at the door that gave it alone.
//
// It speaks no protocol and touches no disk.
package access
