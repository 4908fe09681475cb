// Package pki is a private certificate authority for a server that has no public
// certificate yet.
//
// It promises that the authority can vouch for nothing but the names it was made
// for (name constraints, RFC 5280 §4.2.1.10), so that trusting it on a client
// trusts it with nothing else; that private keys are readable by their owner
// alone from the first moment on; and that a half-written pair is never left
// behind: the key is in place before its certificate.
package pki
