// Package trust decides whether a client's address proves anything: whether a network of devices
// that can't sign in may submit mail as the account that it was given.
//
// It promises that
//
//   - no network is trusted that nobody named, and whatever is not known counts as nothing: the
//     zero Host, Evidence and Table let nobody in;
//   - an address of this host, of a gateway, of a network of containers or of a balancer never
//     counts, whichever network it lies in, since others look like it when they come through;
//   - a network counts only while other addresses are seen to arrive as they are: clients from
//     public networks, in the same family of addresses;
//   - what strangers do behind a trusted address is told as soon as it is seen (Tripwire).
//
// It does no input or output and reads no clock; package guard keeps what is seen.
package trust
