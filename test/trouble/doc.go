// Package trouble shows what a whole server does while something outside of it that it needs is
// in trouble for an hour, and when that is over: the DNS.
package trouble
