// Package client is the client half of SMTP: one connection, any number of
// messages. It has no policy; it does what its Options say.
//
// It promises that Send answers for every recipient, whatever the server does;
// that a recipient counts as delivered only when the server's positive reply came
// after the last octet of the message had been sent; that nothing but printable
// commands and lines ended by CRLF leave it, so that no address and no message
// can become a command; that a password, a token or a certificate of ours is sent only
// under TLS whose certificate was verified; and that a hostile server costs a bounded time and memory.
//
// A server that answers before it was asked, or out of step, is not repaired: the
// connection is dropped and what was under way is deferred. Faults before MAIL
// (a refused greeting, failed TLS, rejected credentials) are the route's and not
// the message's, so they too defer; see ReplyFor.
//
// Two liberties are taken with 8-bit content. A message that says BODY=8BITMIME
// goes unchanged to a server without 8BITMIME: RFC 6152 §3 would have it converted
// or returned, but a conversion breaks every signature over the message, and
// servers that pass only seven bits are no longer met. A message that asked for
// SMTPUTF8 is refused (RFC 6531 §3.2) when the server does not offer it.
package client
