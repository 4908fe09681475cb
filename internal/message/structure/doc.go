// Package structure tells of a stored message what IMAP tells of one: its envelope, the tree
// of its parts, where each section lies, and its text as people read and search it. RFC 3501
// and RFC 9051 §7.5.2, RFC 2045 to 2047, RFC 2183, RFC 2231, RFC 5322 §4, RFC 6532, RFC 3516,
// RFC 8970.
//
// What it promises:
//
//   - A message is read once, from its begin to its end, with one buffer and one header section
//     in memory. Work is linear in its octets and bounded by Limits, whoever wrote it.
//   - No message is refused. What is malformed is read as programs of people read it, and what
//     exceeds a bound is told as less structure; the octets are always whole.
//   - Lines may end with LF or CRLF in the file. Octets and lines are told as CRLF, and Reader
//     gives them so. A Span says where they lie in the file as it is.
//
// Nothing here decides about a sender; that is read strictly, in package message.
package structure
