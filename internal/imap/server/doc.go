// Package server is the protocol engine of an IMAP server: it speaks with a client, asks a
// Backend who may read, and works on the mailboxes that the Backend gives it. It holds no
// policy.
//
// It promises that
//
//   - every command gets exactly one tagged answer, in the order of the commands;
//   - nobody signs in outside TLS, and what came before TLS is forgotten behind it: octets
//     that came together with STARTTLS end the connection;
//   - sequence numbers are those that the client knows: a message goes from under them only when
//     the client has been told, and never while a command is answered that has them as its
//     arguments;
//   - what is answered OK is done, and durable where it is a change;
//   - no command, literal, connection or silence costs more than its limit; commands that come
//     before the last one is answered wait in the connection, not in memory;
//   - no log has anything of a password, a name of a mailbox or a message.
//
// It follows RFC 9051 and RFC 3501 with the extensions that docs/imap.md lists. A connection
// runs on one goroutine, and on a second one while it is idle in IDLE.
package server
