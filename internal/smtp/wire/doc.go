// Package wire is the grammar of SMTP: command lines, replies, the data of a
// message, chunks, and the base64 lines of AUTH.
//
// It promises that every octet read belongs to exactly one line, chunk or body,
// however the octets were cut into packets; that a line ends with exactly CRLF and
// a message with exactly CRLF "." CRLF, so that a bare CR, a bare LF or a NUL is an
// error and is never repaired; that no reader holds more than its limit; and that
// nothing written can be read as two lines, commands or messages.
//
// It decides nothing: what is allowed, and when, is for smtp/server and smtp/client.
package wire
