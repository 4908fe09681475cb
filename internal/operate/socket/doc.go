// Package socket carries operator actions to the server: over a Unix socket that knows from the
// kernel who calls, and over connections that were made beforehand for one command.
//
// It promises that each user has places apart, so that nobody can take another's, that whoever
// may not act is told so at the cost of a place that all of them share, and that a password is told
// to the server alone (SO_PEERCRED).
package socket
