// Package query answers what happened to a message, a connection or an account, out of the
// facts that a log keeps.
//
// [ParseQuery] reads what a person has at hand: an identifier, an address, a pasted bounce.
// A [Reader] follows it to facts, and from there to all facts of the same message and
// session. It reads bounded amounts whatever the size of the log, and also sees facts that
// are not indexed yet. [Reader.Sent] says whether a message was sent from here.
package query
