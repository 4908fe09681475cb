// Package bundle makes the evidence of one incident into files that others can check
// without the server.
//
// It promises that
//
//   - the same contents make the same files, octet for octet;
//   - the manifest names every file but itself and its signature;
//   - what a peer wrote stands in the files as text and is bounded; no body of a message does;
//   - a report for a network is a file: this package sends nothing and names no recipient.
//
// It reads nothing: whoever calls it hands over what the trace, the queue and the incident
// tell, with the proofs and the public key.
package bundle
