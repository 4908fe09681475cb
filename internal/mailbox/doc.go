// Package mailbox opens the Maildirs of accounts for reading by IMAP and POP3.
//
// The files of a Maildir are the truth for messages, and its Maildir++ folders are those of the
// account. Other programs may work on the same files at the same time: what they change is seen
// when a folder is looked at, and nothing is removed or renamed that is not as it was seen.
//
// What readers need besides stands in an index in each folder: UIDs, mod-sequences, keywords and
// what has vanished. It is not the queue's store, it may be lost without a message being lost,
// and no UID is given twice whatever becomes of it (docs/decisions/0150).
//
// What a method acknowledges survives a power cut: files and folders are synced before it
// returns.
package mailbox
