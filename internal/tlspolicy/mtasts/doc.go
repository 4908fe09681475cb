// Package mtasts finds out what a domain demands of the TLS of those who send mail
// to it, by MTA-STS. RFC 8461.
//
// The grammars (Record, Policy) and the matching of host names are functions of
// values. Keeper asks the DNS for the record, fetches the policy over HTTPS with a
// certificate that verifies, and keeps it in the store for as long as the policy
// says.
//
// It promises that a policy once learnt holds until its own end, across restarts,
// whatever the DNS and the web server answer or do not answer meanwhile; that only
// a policy fetched with a verified certificate is ever believed; that nothing is
// dialled but an address that was checked a moment before; and that a domain costs
// bounded questions, octets, connections, memory and time, and delays no other.
package mtasts
