// Package roster keeps the part of the directory that changes at run time: domains, aliases,
// forwards, delegates and the contacts of owners that operators add with commands, beside
// those that the configuration states.
//
// It promises that a change is one durable act, together with the facts that record
// it, and that it is visible to State before Change returns. Nothing is stored that
// the caller's check of the whole would-be directory refuses; the check and the
// change follow each other without another change between them. An entry that
// cannot be read is neither guessed nor left out: State names it, and a directory
// with such an entry does not stand until it is removed.
package roster
