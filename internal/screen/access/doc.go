// Package access reads and asks the administrator's list of parties that are kept out, put
// off, slowed down or let in: by network, by the name that an address proves, by the name
// of the greeting, by the envelope sender and by the recipient.
//
// It promises that the first line that fits decides, that a line which cannot be read makes
// the whole list refused with the line's number, and that asking is pure: names are looked
// up by who asks, and only where a line needs one.
package access
