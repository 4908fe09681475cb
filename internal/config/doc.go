// Package config reads sallyport.toml.
//
// It promises that a Config that Load returned is complete and consistent: every
// key is known, in its bounds and of one meaning, every name parsed into the
// vocabulary of package mail, every file it names present and kept from other
// people's eyes. Whatever is wrong is told at once, each fault with its file,
// line and column, the offending text, and a hint. Nothing is repaired and
// nothing has a second spelling.
//
// The tables of the file and their keys stand in one list (tables.go), from which
// readers, defaults, bounds and the reference in docs/config.md are all taken, so that
// they cannot differ.
//
// An empty configuration is closed: no listener, no domain, no route.
package config
