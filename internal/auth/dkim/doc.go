// Package dkim signs messages and verifies their signatures: RFC 6376 with the
// algorithms of RFC 8301 and RFC 8463 (rsa-sha256 and ed25519-sha256).
//
// It promises that one pass over the body serves every signature of a message, made
// or verified, in memory that does not grow with the body; that whatever a stranger
// writes into a signature or into a key record costs bounded work; that a signature
// passes only if it covers the whole body and the From field; and that verification
// ends in values from which policy is made elsewhere.
//
// It is pure: keys are looked up by the caller, who is told which (Check.Names), and
// time is an argument.
package dkim
