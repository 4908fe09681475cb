// Package wire is the grammar of IMAP: it reads commands and writes the pieces of
// responses. It knows no mailbox, no session and no policy.
//
// A command is read whole, literals included, into one piece of memory that a Reader of door/textconn
// bounds; Parse then makes a Command of it, in time that grows with the octets and within
// Limits. Only the messages of APPEND are never held: ParseAppend reads what stands before
// each of them, and the message itself is the engine's to stream.
//
// It follows RFC 9051 and RFC 3501 with LITERAL+ and LITERAL- (RFC 7888), SASL-IR (4959),
// ID (2971), ENABLE (5161), LIST-EXTENDED (5258), LIST-STATUS (5819), SPECIAL-USE (6154),
// ESEARCH (4731), SEARCHRES (5182), CONDSTORE and QRESYNC (7162), BINARY (3516),
// UTF8=ACCEPT (9755), WITHIN (5032), SORT and THREAD (5256), MULTIAPPEND (3502), OBJECTID
// (8474), PREVIEW (8970).
package wire
