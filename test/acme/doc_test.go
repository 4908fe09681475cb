// Package acme obtains certificates from a real authority (Pebble of Let's Encrypt) with
// the real server: nothing leaves this host.
package acme
