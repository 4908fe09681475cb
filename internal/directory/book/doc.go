// Package book owns the directory as it stands. It makes one snapshot of what the
// configuration states, what commands added (package roster) and the accounts, whole or
// not at all; it proves each change before it counts (package proof), publishes it before
// who asked for it is answered, and knows what needs what.
//
// It promises that no snapshot is ever published that is inconsistent or would let
// anybody relay, that an older state never replaces a newer one, and that a change of the
// configuration and one of accounts or entries never overlook one another.
//
// It lies beside the snapshot that it makes: of the accounts it needs the addresses alone.
package book
