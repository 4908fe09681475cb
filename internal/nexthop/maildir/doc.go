// Package maildir delivers to Maildir mailboxes.
//
// It promises that an outcome that says "delivered" means a complete file in
// new/ that survives a power cut: the file is written in tmp/ and synced, renamed
// into new/, and the directory is synced, in this order, before Deliver returns.
// Deliveries that finish in one directory at the same time share its sync.
//
// A mailbox gets one copy of a message, whichever and however many addresses lead to
// it, and every one of them has its outcome. The file is named by the queue id and the
// mailbox, so that a delivery repeated after a crash is the same file, and no second
// copy of the message.
//
// A message is stored octet for octet as it came over the wire but for the ends of its
// lines, which are LF, as every program that reads Maildir expects, after the Return-Path
// and Delivered-To fields of this delivery. Whoever verifies a signature on what is kept,
// or tells its size over IMAP, reads each LF as CRLF (RFC 6376 §2.3).
// The detail of an address
// (alice+lists) chooses no folder; Delivered-To names the whole address, once for each
// recipient that the copy stands for, in the order of the envelope.
//
// Junk goes into the Maildir++ folder that the owner of the mailbox has for it, or into .Junk, which
// readers show as "Junk".
//
// A mailbox is the folder ROOT/DOMAIN/LOCAL-PART with tmp, new and cur in it, all
// made with mode 0700. Within one mailbox nothing is ever overwritten but a copy
// of the same message, and nothing outside tmp/ is ever removed but a file whose
// delivery failed at the last step.
package maildir
