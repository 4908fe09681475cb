// Package operate is every action of an operator, once: the command line calls it over
// the server's socket or, when no server runs, in its own process, and both go
// through the same Handler.
//
// It promises that nobody acts who is neither root nor the server's own user, as
// the kernel tells (SO_PEERCRED); that each change and the fact about who made it
// are committed together; that a listing is streamed and never held whole in
// memory; and that every request is bounded in size and time.
//
// Requests are JSON over HTTP on a Unix socket: POST /v1/ACTION. A listing answers
// with one JSON object a line; its last line is {"end":true} or holds an error, so
// that a listing that was cut short is never taken for a whole one.
package operate
