// Package accounts knows who may sign in: the accounts, what proves them, and
// the SASL exchanges in which they prove it.
//
// It promises that a password is kept only as an argon2id hash and a SCRAM
// verifier; that nothing is offered or accepted outside TLS; that an account
// which does not exist, is frozen, or was given a wrong password answers the same
// way and at the same cost; that a change of password or standing holds for
// every sign-in which ends after it; that guessing is bounded, as package guess
// says, without locking out the owner; and that hashing
// is bounded in processors and memory, whatever a flood of sign-ins asks for.
//
// Accounts live in the store under these keys, each with a version in its value:
//
//	identity/account/KEY    one account; KEY is mail.Address.Key
//	identity/networks/KEY   the networks from which it signed in of late
//	identity/used/KEY       when its credentials were last used
//	identity/revision       the number of changes to accounts so far
//	identity/decoy          a secret that feigns accounts which do not exist
//
// An account has its password and credentials beside it, one for each device: each has a
// name for good, and a session knows with which it was opened. An app password is made of
// 120 bits of chance, so that it is found by a plain digest, in no time and whatever rates
// of guesses say; what is wrong costs a hash as ever.
//
// Every change is one store.Tx with the caller's facts. The accounts are also
// held in memory, because every MAIL and every claim of a queued message asks.
package accounts
