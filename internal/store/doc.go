// Package store is the only way to change anything durable.
//
// A Tx holds preconditions, mutations and facts for the trace; Apply commits all
// of it or none of it. What it promises:
//
//   - Durable means that the transaction, and every transaction applied before
//     it, survives a power failure once Apply has returned nil. Lazy means
//     visible and ordered at once, and synced with the next durable one or soon
//     after by itself: a crash keeps a prefix of what was applied, never a gap.
//   - Facts get contiguous sequence numbers in the order of commit, in the same
//     atomic act as the mutations beside them.
//   - A full disk or a failing one is ErrUnavailable, never an exit: nothing that
//     was acknowledged is lost, and the store recovers by itself as soon as the
//     disk does.
//
// # Keys
//
// Keys are ordered as octets. The first octet says whose they are; each owner
// documents what follows it. Nobody reads or writes another owner's keys.
//
//	0x00  the store itself (facts, head); refused in mutations and preconditions
//	'i'   accounts
//	's'   spool
//	't'   trace
//
// # Drivers
//
// mem keeps everything in memory, for tests and for tools that need no
// disk. pebble keeps it on one disk. conformance is the suite that every
// driver passes.
package store
