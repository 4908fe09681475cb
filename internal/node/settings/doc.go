// Package settings translates the configuration into the options of each package: it says what
// each key means there. Whoever decides anything is another room; what is decided here is only
// whose value a key is.
package settings
