// Package access reads and matches the access list of the administrator, which refuses, defers,
// slows or exempts clients: by network, by the name that an address proves, by the name in EHLO or
// HELO, by the envelope sender and by the recipient (as access(5) of Postfix).
//
// It promises that the first line that fits decides, that a line which cannot be read makes
// the whole list refused with the line's number, and that asking is pure: names are looked
// up by who asks, and only where a line needs one.
package access
