// Package message reads the header section of a message as the octets that it is,
// tells with certainty who its authors are, and makes the trace fields that this
// server adds. RFC 5322, RFC 6532 (UTF-8), RFC 2047 (encoded words).
//
// What it promises:
//
//   - Nothing is repaired and nothing is re-encoded: a field is kept, or removed
//     whole, and what is kept is kept to the octet.
//   - Authors does not guess. A header whose author two programs could read
//     differently gets a Fault instead of an answer.
//   - Memory and work are bounded by Limits, and linear in the octets read.
//
// The body is not looked at.
package message
