// Package accounts knows who may sign in: the accounts, what proves them, and
// the SASL exchanges in which they prove it.
//
// It promises that a password is kept only as an argon2id hash and a SCRAM
// verifier; that nothing is offered or accepted outside TLS; that an account
// which does not exist, is frozen, or was given a wrong password answers the same
// way and at the same cost; that a change of password or standing holds for
// every sign-in which ends after it; that guessing is bounded per account without
// locking out the owner on a network known to be the owner's; and that hashing
// is bounded in processors and memory, whatever a flood of sign-ins asks for.
//
// Accounts live in the store under these keys, each with a version in its value:
//
//	identity/account/KEY    one account; KEY is mail.Address.Key
//	identity/networks/KEY   the networks from which it signed in of late
//	identity/revision       the number of changes to accounts so far
//	identity/decoy          a secret that feigns accounts which do not exist
//
// Every change is one store.Tx with the caller's facts. The accounts are also
// held in memory, because every MAIL and every claim of a queued message asks.
package accounts
