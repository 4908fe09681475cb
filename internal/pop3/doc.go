// Package pop3 speaks POP3 with clients, over one accepted connection at a time. RFC 1939, RFC
// 2449 (CAPA), RFC 2595 (STLS), RFC 5034 (SASL), RFC 3206 (response codes), RFC 6856 (UTF8). It is
// without policy: who may sign in, and to which mailbox, says a Backend.
//
// What it promises:
//
//   - Nobody signs in outside TLS, and what came before TLS began counts for nothing.
//   - A mailbox has one session at a time. What it holds is what was there when the session
//     began, each message under the number and name that it was given then.
//   - Nothing is deleted but what the client marked, at QUIT, and +OK says that it is durable.
//     Nothing else of a message is changed: who reads it elsewhere sees it unread.
//   - A message is told whole or not at all: where its octets end early, the connection does.
//   - Every line, wait and count is bounded by Limits.
package pop3
