// Package dnsbl queries DNS blocklists and allowlists, of addresses and of names (RFC 5782).
//
// It promises that only what the administrator said to be an answer counts, never an error
// code of a list (127.255.255.0/24) nor anything outside 127.0.0.0/8, that what could not
// be asked lists nobody, and that our own want of means is told apart from that.
package dnsbl
