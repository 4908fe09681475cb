// Package moving imports mail from elsewhere into a mailbox.
//
// A Place is where mail lies: its packages read Maildirs, mbox files, other servers and mailboxes
// of backups. A Plan says which of its folders become which here. Import reads the messages of a
// plan and hands them to a Target in batches, each with an origin, by which the target knows what
// came before; so that an import that was cut off goes on, and nothing comes twice.
//
// It promises that a message that cannot be read is named and that the rest goes on, and that one
// batch of messages is held at a time.
package moving
