// Package mail is the vocabulary of sallyport: domains, addresses, envelopes,
// replies, outcomes and queue identifiers.
//
// Every value is made by a Parse function, is immutable afterwards, and is what
// policy, wire and storage all use, so that nothing is interpreted twice. The
// zero value of each type is invalid and refuses: it never compares equal to a
// parsed value, never counts as a success and never names a destination.
//
// The package imports nothing else of this project and does no input or output.
package mail
