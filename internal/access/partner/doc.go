// Package partner authenticates users for a server beside this one that serves their mailboxes,
// such as Dovecot.
//
// The partner has TLS and the protocol, and asks us who somebody is, by the protocol of checkpassword
// programs. It promises that whoever signs in there does so at the same desk (signin) as at our own
// doors, to read alone: with the same credentials and their scope, networks and end, within the same
// budget of guesses, counted by the client's own address, and with the same facts. What the partner
// does not say, or says of anything but reading, opens nothing.
//
// It keeps no session: what the partner does with a connection after the answer it cannot see.
package partner
