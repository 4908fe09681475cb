// Package srs makes and reads the return paths of mail that we send on for an
// account, and the mark by which such mail is known when it comes back.
//
// It promises pure arithmetic over values: time is an argument, nothing is stored. A
// return path has the form of the Sender Rewriting Scheme, at the account's own
// domain:
//
//	SRS0=HASH=DAY=sealed=REFERENCE@DOMAIN
//
// HASH is a MAC over all the rest, DAY the day on which the mail was sent on,
// REFERENCE a keyed digest that stands for the account. Nobody without the key can
// make one, change one, or tell from one whose it is; and one that is too old is
// refused. What the scheme usually seals, the sender's address, is not in it: a
// bounce goes to the account that owns the forward and never any further, so that
// nobody who was not proven to have sent the mail is ever written to. For the same
// reason an SRS1 address, which names another forwarder to go back to, is never made
// and never accepted.
package srs
