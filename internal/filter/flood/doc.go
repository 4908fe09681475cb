// Package flood keeps a mailbox readable while it gets bounces of mail that was never sent from here
// by the thousand: after the first ones of an hour the others are held in the queue, and one digest
// counts them.
//
// It promises that nothing that was acknowledged is lost: what is folded into a digest waits whole in
// the queue, where it is listed, shown, released and removed like everything that is held; that a digest
// is written once, also after a crash; and that a bounce of a message that the trace knows as ours
// is never folded.
package flood
