// Package webhook tells another program over HTTPS of accounts that were contained, by signed
// requests in the form of Standard Webhooks.
//
// It promises that each incident is told as raised once and as cleared once, in that order, also
// after a crash or a restart in between; that a receiver who got one twice, because his answer was
// lost, knows it by its identifier; that every request is signed over its time and its body, and
// goes to a server whose certificate verifies, and nowhere else; that no request is larger, no
// answer longer read and no try longer than its bound; and that whoever raises an incident never
// waits for any of it.
package webhook
