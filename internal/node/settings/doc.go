// Package settings says what each key of the configuration means to the room that it is
// about: it makes that room's options of a configuration. Whoever decides
// anything is another room; what is decided here is only whose value a key is.
package settings
