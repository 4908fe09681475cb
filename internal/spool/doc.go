// Package spool is the durable queue: what Put has returned nil for is delivered,
// or its failure is reported, whatever happens to the machine.
//
// It promises:
//
//   - Order on disk: body, then entry, then the return of Put. A small body is
//     committed in one act with its entry; a large one is a synced file before
//     its entry exists. When Put fails, the message will not be delivered.
//   - No Grant, no way out. A delivery to a foreign address enters only with a
//     Grant that covers it; the Grant is stored sealed and verified again at
//     every claim. Whose queue holds such a message is for the Grant to say: it
//     alone is sealed.
//   - The next attempt is recorded before the attempt. Settling is idempotent, a
//     stale token changes nothing, success is settled lazily (a crash may repeat
//     a delivery, never lose one), and a failure commits in one act with the
//     notification about it.
//   - Every record carries a checksum and every body a length and a SHA-256. What
//     does not verify is quarantined and reported, never dropped.
//   - Memory is bounded by live claims, accounts and mailboxes, not by queued messages.
//
// # Keys
//
// The spaces of the keys (package store hands them out):
//
//	s e ID              entry record (codec.go)
//	s b ID              body, when it is small; a larger one is a blob
//	s f NAME            the ID of the entry to which the blob NAME belongs
//	s d TIME ID         schedule: entries to be tried, by next try (8 octets, big endian)
//	s h ID              entries held one by one
//	s p ACCOUNT 0 ID    entries parked because their account is held
//	s a ACCOUNT         accounts held, with the reason
//	s x ID              damaged records in quarantine
//	s n                 number of openings, the high half of fencing tokens
//
// Each entry stands in exactly one of d, h and p, with a summary (size, account, and the
// mailboxes of ours that it waits for) from which Open counts without reading entries, by
// which what one account has is found, and what is held, and how much waits for a mailbox.
package spool
