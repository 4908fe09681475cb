// Package site runs whole servers in the process of a test: each has a folder of its own, accounts
// of alice and bob, and a foreign domain whose mail ends in a sink. Its own tests hold them to what
// clients, mailboxes, other servers and operators see; those of node open, reload and stop them.
package site
