// Package server is the protocol engine of an SMTP server: it speaks with a client
// and asks a Backend what to answer. It holds no policy.
//
// It promises that
//
//   - every command gets exactly one reply, in order, and a 2xx at the end of a
//     message is sent only after Transaction.Data returned it;
//   - every octet belongs to exactly one command, chunk or message, whatever the
//     packets were; a bare CR, a bare LF or a NUL is refused and ends the connection;
//   - a transaction is dropped whole on RSET, EHLO, HELO, STARTTLS, a refused end of
//     data or a fault within a BDAT sequence, and nothing learnt before STARTTLS is
//     kept behind it;
//   - no command, message, connection or silence costs more than its limit.
//
// It follows RFC 5321 with PIPELINING (RFC 2920), SIZE (1870), 8BITMIME (6152),
// SMTPUTF8 (6531), ENHANCEDSTATUSCODES (2034), CHUNKING (3030), DSN (3461),
// STARTTLS (3207), implicit TLS (8314), AUTH (4954) and LIMITS (9422). A connection
// speaks on one goroutine at a time, which it shares with others, and rests on one of its own, which
// holds no buffer and hardly a stack.
package server
