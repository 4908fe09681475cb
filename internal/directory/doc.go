// Package directory classifies addresses: a mailbox, the postmaster, an alias, unknown, or
// foreign.
//
// It promises an immutable Snapshot. A transaction takes one and keeps it, so that
// all its recipients are judged by one configuration. Looking up reads no disk and
// no network, does not depend on DNS (no MX record makes a domain ours) and costs
// a few hash look-ups for known and unknown users alike. Local-parts are compared
// by mail.Address.Key and are otherwise opaque: no percent, bang, pipe, slash or
// include in them means anything. Our own address literals reach the postmaster
// only.
//
// A Snapshot without accounts that can be read (Unavailable) answers
// gate.DestinationUnavailable for every address whose class depends on them, and
// never guesses.
package directory
