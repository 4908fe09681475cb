// Package keyring manages the DKIM keys of our domains through their life cycle.
//
// A key is new when it is made: its record is to be published, and it signs nothing. It
// becomes active when the DNS is seen to show its record, or when an operator says so;
// then it signs, and the active key of the same algorithm retires. A retired key signs
// nothing; its record must stay in the DNS as long as mail that it signed may be under
// way, and then the key is forgotten.
//
// It promises that nothing is signed with a key whose record the DNS is known not to
// show: an active key whose record is seen to be gone, or to hold another key, stops
// signing until it is seen again. That the DNS cannot be asked changes nothing.
//
// What becomes of the keys is decided by pure functions over the keys of one domain
// (life.go); Ring keeps them in the store, one record a domain, private keys among
// them, and watches the DNS.
package keyring
